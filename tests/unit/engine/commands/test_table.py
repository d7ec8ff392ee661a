"""The command line as a whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PRINTS = """
import sys
from engine.commands.table import Command, dispatch

def run(arguments):
    for _ in range({lines}):
        print("a line that somebody reads")
    return 3

sys.modules["prints"] = sys.modules["__main__"]
dispatch("program", {{"say": Command("prints:run", "", "")}}, ["say"])
"""


@pytest.mark.parametrize("lines", [1, 100_000])
def test_whoever_stops_reading_ends_the_command_without_a_word(lines: int) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-c", PRINTS.format(lines=lines)]
    with subprocess.Popen(command, stdout=writes, stderr=subprocess.PIPE) as process:
        os.close(writes)
        _, said = process.communicate(timeout=120.0)
    assert (said, process.returncode) == (b"", 141)


def test_whoever_reads_all_of_it_is_told_how_it_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS.format(lines=2)], capture_output=True, check=False
    )
    assert (len(done.stdout.splitlines()), done.stderr, done.returncode) == (2, b"", 3)

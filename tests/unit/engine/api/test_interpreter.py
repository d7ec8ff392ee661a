"""The API's thread and the engine's take short turns, and what they hold is in huge pages."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.api import interpreter
from engine.api.interpreter import HUGE_BYTES, SWITCH_S, collapse, shared_interpreter

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
RELEASE = Path("/proc/sys/kernel/osrelease")
HOLDING = """
import re
from pathlib import Path

from engine.api.interpreter import collapse

def huge_kib():
    text = Path("/proc/self/smaps").read_text()
    return sum(map(int, re.findall(r"AnonHugePages: *(\\d+)", text)))

held = [str(number) for number in range(600_000)]
before = huge_kib()
collapsed = collapse()
assert held == [str(number) for number in range(600_000)]
print(before, huge_kib(), collapsed)
"""


def test_turns_are_short_and_nothing_old_is_collected_as_long_as_it_serves() -> None:
    before_s = sys.getswitchinterval()
    with shared_interpreter():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
        assert gc.get_freeze_count() > 0
    assert sys.getswitchinterval() == before_s
    assert gc.get_freeze_count() == 0


def test_what_is_held_is_in_huge_pages_and_as_it_was() -> None:
    if not ENABLED.exists() or "[never]" in ENABLED.read_text():
        pytest.skip(f"this kernel gives no huge pages: echo madvise > {ENABLED}")
    if tuple(map(int, re.findall(r"\d+", RELEASE.read_text())[:2])) < (6, 1):
        pytest.skip("MADV_COLLAPSE needs Linux 6.1")
    ended = subprocess.run(
        [sys.executable, "-c", HOLDING], capture_output=True, text=True, check=True
    )
    before_kib, after_kib, collapsed = map(int, ended.stdout.split())
    if not collapsed:
        pytest.skip("no huge page is to be had: memory is in too many pieces")
    assert after_kib >= before_kib + HUGE_BYTES // 1024


def test_without_the_list_of_what_is_mapped_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "MAPS", tmp_path / "absent")
    assert collapse() == 0


def test_only_memory_of_no_file_that_has_room_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "MAPS", tmp_path / "maps")
    interpreter.MAPS.write_text(
        "00400000-00800000 rw-p 00000000 00:00 0          [heap]\n"
        "01000000-01200000 rw-p 00000000 00:00 0 \n"
        "02000000-02100000 rw-p 00000000 00:00 0 \n"  # too small
        "03000000-04000000 r--p 00000000 00:00 0 \n"
        "05000000-06000000 rw-s 00000000 00:01 7          /dev/shm/a name\n"
        "07000000-08000000 rw-p 00000000 fe:00 9          /lib/library.so\n"
        "08fff000-09000000 ---p 00000000 00:00 0 \n"  # a thread's guard page, and its stack
        "09000000-09800000 rw-p 00000000 00:00 0 \n"
        "0b000000-0c000000 rw-p 00000000 00:00 0          [stack]\n"
    )
    assert interpreter._heap() == [(0x400000, 0x800000), (0x1000000, 0x1200000)]

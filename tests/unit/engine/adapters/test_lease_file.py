"""One leads: also after a kill, and whoever does not is told who does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.adapters.lease_file import take_lead
from engine.ports.lease import NotLeadingError

HOLD = """
import sys, time
from pathlib import Path
from engine.adapters.lease_file import take_lead
lead = take_lead(Path(sys.argv[1]), 0.0)
print(lead.fence, flush=True)
time.sleep(60)
"""


def test_a_second_engine_is_told_who_leads_until_the_first_lets_go(tmp_path: Path) -> None:
    first = take_lead(tmp_path, 0.0)
    with pytest.raises(NotLeadingError, match=f"pid {os.getpid()}"):
        take_lead(tmp_path, 1.0)
    first.release()
    second = take_lead(tmp_path, 2.0)
    assert (first.fence, second.fence) == (1, 2)
    second.release()


def test_the_lead_of_a_killed_engine_is_free_at_once(tmp_path: Path, repository: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=repository, stdout=subprocess.PIPE, text=True,
    ) as engine:  # fmt: skip
        assert engine.stdout is not None
        try:
            assert engine.stdout.readline() == "1\n"
            with pytest.raises(NotLeadingError, match=f"pid {engine.pid}"):
                take_lead(tmp_path, 1.0)
        finally:
            engine.send_signal(signal.SIGKILL)
            engine.wait()
    lead = take_lead(tmp_path, 2.0)
    assert lead.fence == 2
    lead.release()


def test_the_lead_is_not_inherited_by_what_an_engine_starts(tmp_path: Path) -> None:
    lead = take_lead(tmp_path, 0.0)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            lead.release()
            take_lead(tmp_path, 1.0).release()
        finally:
            child.kill()
            child.wait()


def test_the_number_goes_on_from_a_file_that_makes_no_sense(tmp_path: Path) -> None:
    (tmp_path / "leader").write_text("{")
    lead = take_lead(tmp_path, 0.0)
    assert json.loads((tmp_path / "leader").read_text())["lead"] == lead.fence == 1
    lead.release()

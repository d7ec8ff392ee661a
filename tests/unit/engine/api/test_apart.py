"""A process beside the engine ends with it: by itself if it does nothing, at once if it does."""

from __future__ import annotations

import signal
import time
from multiprocessing.process import BaseProcess

import pytest

from engine.api.apart import ProcessBeside, WorkerPlace


def begun(slow_s: float) -> ProcessBeside:
    place = WorkerPlace("quick_trials:connect", {"slow_s": slow_s}, "what_if", ("tried",))
    return ProcessBeside(place)


def exit_code(process: BaseProcess) -> int:
    """How it ended; the pool's own thread may be the one that the system tells."""
    process.join()
    while (code := process.exitcode) is None:
        time.sleep(0.01)
    return code


@pytest.mark.usefixtures("factories_on_path")
def test_one_that_does_nothing_puts_away_what_it_has_and_one_that_works_is_ended() -> None:
    idle = begun(0.0)
    idle.submit("choices", ()).result()
    assert idle._pool is not None
    (process,) = (idle._pool._processes or {}).values()
    idle.close()
    assert exit_code(process) == 0
    busy = begun(600.0)
    busy.submit("choices", ()).result()
    asked = busy.submit("tried", (None, None, 60.0))
    while not asked.running():  # else it may end by itself before it is given the question
        time.sleep(0.01)
    assert busy._pool is not None
    (process,) = (busy._pool._processes or {}).values()
    busy.close()
    assert exit_code(process) == -signal.SIGTERM

"""Ctrl-C ends a command also where Python loses the exception."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import ctypes, gc, signal, time, weakref
from engine.commands.interrupts import AGAIN_S, repeat_lost_interrupts

class Thing: pass
class Last(Thing):
    def __del__(self): lose()

def lose(*_):
    signal.raise_signal(signal.SIGINT)
    for _ in range(10): pass

def collecting(phase, _):
    if phase == "start":
        gc.callbacks.remove(collecting)
        lose()

repeat_lost_interrupts()
try:
    {losing}
    print("lost", flush=True)
    time.sleep(60.0)
    print("went on")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(10.0 * AGAIN_S)  # a second one would end the command in its cleaning up
    print("cleaned up")
"""
LOSING = {
    "a callback from C": "ctypes.CFUNCTYPE(None)(lose)()",
    "a finalizer": "Last()",
    "a callback of a weak reference": "thing = Thing(); weak = weakref.ref(thing, lose); del thing",
    "a callback of the collector": "gc.callbacks.append(collecting); gc.collect()",
    "two in a row": "ctypes.CFUNCTYPE(None)(lose)(); Last()",
}


def ended(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
        cwd=Path(__file__).parents[4], check=True,
    )  # fmt: skip


@pytest.mark.parametrize("losing", LOSING.values(), ids=LOSING)
def test_an_interrupt_that_was_lost_comes_again_once(losing: str) -> None:
    result = ended(BEGIN.format(losing=losing))
    assert result.stdout.splitlines()[-2:] == ["interrupted", "cleaned up"]
    assert result.stderr == ""


def test_any_other_lost_exception_is_shown_as_before() -> None:
    result = ended(
        "import ctypes\n"
        "from engine.commands.interrupts import repeat_lost_interrupts\n"
        "repeat_lost_interrupts()\n"
        "def fail(): raise LookupError('of the callback')\n"
        "ctypes.CFUNCTYPE(None)(fail)()\n"
    )
    assert "LookupError: of the callback" in result.stderr

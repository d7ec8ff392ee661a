"""Children of the runner are ended with all that they started, and only while they are its own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mutation.mutants import mutants_of
from mutation.surgery import Reach, _Child, _fork, _Job

(MUTANT, *_) = mutants_of("toy", "toy.py", "def f(x):\n    return x < 1\n")


def child(folder: Path, work: Callable[[Path], int], *, asleep_s: float = 600.0) -> _Child:
    job = _Job(MUTANT, work, 1000.0, asleep_s)
    return _Child(_fork(work, folder / "child", 1000.0), job, folder / "child", time.monotonic())


def test_the_id_of_a_child_that_has_ended_stays_taken_until_all_of_its_group_are_ended(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()

    def work(_: Path) -> int:
        if os.fork() == 0:
            signal.pause()  # left behind, with the pipe open
        return 7

    ended = child(tmp_path, work)
    os.close(writing)
    while not ended.has_ended():
        time.sleep(0.001)
    os.kill(ended.id, 0)  # raises once the id is anybody's
    assert os.waitstatus_to_exitcode(ended.end()) == 7
    assert os.read(reading, 1) == b""  # nobody has it open any more
    os.close(reading)
    with pytest.raises(ChildProcessError):
        os.waitpid(ended.id, 0)


def test_a_child_that_sleeps_is_over_and_one_that_works_or_waits_for_work_is_not(
    tmp_path: Path,
) -> None:
    def works(own: Path) -> int:
        (own / "ready").touch()
        while True:
            pass

    def waits(own: Path) -> int:
        if os.fork() == 0:
            return works(own)
        return sleeps(own / "asleep")

    def sleeps(own: Path) -> int:
        own.mkdir(exist_ok=True)
        (own / "ready").touch()
        signal.pause()
        return 0

    for name, work in (("works", works), ("waits", waits)):
        busy = child(tmp_path / name, work, asleep_s=1.0)
        while not (busy.own / "ready").exists():
            time.sleep(0.001)
        seconds = (busy.begun_s + second for second in range(1, 100))
        assert not any(busy.is_over(now_s) for now_s in seconds), name
        assert busy.is_over(busy.begun_s + 3001.0)  # its time is over in any case
        busy.end()
    asleep = child(tmp_path / "sleeps", sleeps, asleep_s=1.0)
    second = 0
    while not asleep.is_over(asleep.begun_s + second):
        second += 1
        time.sleep(0.001)
        assert second < 2999
    asleep.end()


def test_a_test_that_noticed_a_mutant_is_tried_first_on_those_of_the_same_function() -> None:
    source = "def f(x):\n    return x < 1\n\n\ndef g(x):\n    return x > 1\n"
    mutants = mutants_of("toy", "toy.py", source)
    first, last = mutants[0], mutants[-1]
    assert (first.function, last.function) == ("f", "g")
    lines = {name: {2, 6} for name in ("slow", "fast", "middling")}
    reach = Reach({"toy.py": lines}, {"slow": 3.0, "fast": 1.0, "middling": 2.0})
    assert reach.tests_of(first) == ["fast", "middling", "slow"]
    reach.note(first, "slow")
    assert reach.tests_of(first) == ["slow", "fast", "middling"]
    assert reach.tests_of(last) == ["fast", "middling", "slow"]


def test_what_is_done_on_import_is_shown_to_all_tests_of_a_file_that_reaches_the_module() -> None:
    (mutant, *_) = mutants_of("toy", "toy.py", "STEP = 2\n")
    took_s = {"a.py::runs": 1.0, "a.py::looks": 2.0, "b.py::neither": 3.0}
    reach = Reach({"toy.py": {"a.py::runs": {7}}}, took_s)
    assert reach.tests_of(mutant) == ["a.py::runs", "a.py::looks"]


def test_a_module_without_functions_is_shown_to_the_files_that_import_it(tmp_path: Path) -> None:
    (mutant, *_) = mutants_of("own.toy", "own/toy.py", "class Toy:\n    step = 2\n")
    texts = {"a.py": "from own.toy import Toy\n", "b.py": "from own.toys import Toys\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    took_s = {f"{tmp_path / name}::looks": 1.0 for name in texts}
    assert Reach({}, took_s).tests_of(mutant) == [f"{tmp_path / 'a.py'}::looks"]

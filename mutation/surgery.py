"""Run the tests that reach a mutant, in a fraction of a second and with nothing else to wait for.

Most of the time of a test run goes into starting: the interpreter, NumPy, Hypothesis, collecting.
So all of that is done once, and each mutant gets a *fork* of the process in which the tests stand
ready.  There the spoiled code is put into the living function, whoever holds a reference to it, and
the tests that reach its line run until one fails: first those that noticed other mutants of the
same function, then the fast ones.

What a module does while it is imported (constants, defaults of fields) cannot be replaced like
that.  Those mutants get a fork of a process that has imported the libraries but nothing of ours.

Which tests reach which lines is found by running each once under a tracer.  A mutant that runs
into its limit of processor time is as good as noticed, and so is one that waits for what never
comes: all of its threads sleep, and none ever wakes.  Neither is told by the clock alone, as a busy
machine must not make a mutant look noticed.

It is long because what happens in the forks, and what the process that forks has to know of it, are
one protocol.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import psutil
import pytest

from mutation.mutants import Mutant, spoiled

OPTIONS = (
    "-q",
    "-s",
    "--tb=no",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--hypothesis-profile=mutants",
)
IN_A_FUNCTION = 0x1  # inspect.CO_OPTIMIZED: the code of a function, not of a module or a class
TRACED_CALLS = 400
"""A test is traced into so many calls of one function: what it reaches later seldom is new."""
TIMES = 6.0
"""Limit of processor time: so many times that of the tests without the mutant, and some more."""
WALL = 3.0
"""A child that neither ends nor sleeps is ended after so many times its limit."""
ASLEEP_S = 2.0
"""A child that has slept for so long, and for as long as any of its tests lasts, waits for ever."""
LOOKED_AT_EACH_S = 0.25
KILLED, SURVIVED = 1, 0
UNUSABLE = 3
"""Exit codes of the child of a mutant."""
SAID = "stderr"
RUNNING = "running"
"""File with the name of the test that a child is running."""
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

_Place = tuple[str, str, int]
"""Of a function: its file, its qualified name, its first line."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    UNREACHED = "not reached"


@dataclass(slots=True)
class Reach:
    """Which tests run which lines: `lines[path][test]`.

    `took_s` is the processor time of each test, `lasted_s` the time until it ended.  `imported` are
    the modules that the tests import while they run, and `noticed[path, function][test]` counts the
    mutants that it noticed.
    """

    lines: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    lasted_s: dict[str, float] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    noticed: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that may notice `mutant`, in the order in which they are likely to, and fast.

        What is done on import may show in any test of a file that reaches the module: who only
        looks at a constant or a default runs no line of it.  A module without a line that could be
        run is shown to the files that import it by its name.
        """
        first, last = mutant.lines
        reaching = self.lines.get(mutant.path, {})
        if mutant.surgical:
            wanted = range(first, last + 1)
            tests = [test for test, lines in reaching.items() if not lines.isdisjoint(wanted)]
        else:
            files = {test.split("::", 1)[0] for test in reaching} or self._importing(mutant.module)
            tests = [test for test in self.took_s if test.split("::", 1)[0] in files]
        noticed = self.noticed.get((mutant.path, mutant.function), Counter())
        return sorted(tests, key=lambda test: (-noticed[test], self.took_s[test], test))

    def _importing(self, module: str) -> set[str]:
        """The files of tests that import something from `module`."""
        files = {test.split("::", 1)[0] for test in self.took_s}
        words = f"from {module} import "
        return {file for file in files if words in Path(file).read_text("utf-8")}

    def note(self, mutant: Mutant, test: str) -> None:
        """This test noticed `mutant`."""
        self.noticed.setdefault((mutant.path, mutant.function), Counter())[test] += 1

    def longest_s(self, tests: Iterable[str]) -> float:
        """How long the longest of these tests lasts."""
        return max((self.lasted_s[test] for test in tests), default=0.0)

    def limits_s(self, mutant: Mutant, least_s: float) -> dict[str, float]:
        """Processor time in which each of the tests that may notice `mutant` must end."""
        return {test: least_s + TIMES * self.took_s[test] for test in self.tests_of(mutant)}


@dataclass(slots=True)
class Suite:
    """The collected tests, ready to be run in forks."""

    session: pytest.Session

    @property
    def items(self) -> dict[str, pytest.Item]:
        """The tests by their names."""
        return {item.nodeid: item for item in self.session.items}

    def run(
        self,
        tests: Iterable[str],
        limits_s: Mapping[str, float] | None = None,
        running: Path | None = None,
    ) -> bool:
        """Run these tests until one fails; whether none did.

        With `limits_s` (processor time, s) the process ends where a test takes longer.  The name of
        the one that runs is in the file `running`.
        """
        watch = _Watch()
        self.session.config.pluginmanager.register(watch)
        by_name = self.items
        items = [by_name[test] for test in tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            if limits_s is not None:
                _limit(limits_s[item.nodeid])
            if running is not None:
                running.write_text(item.nodeid, "utf-8")
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if watch.failed:
                return False
        return True


class _Watch:
    """Remembers whether a test failed."""

    def __init__(self) -> None:
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed


class _Instead:
    """A plugin that does `work` with the collected tests in place of running them."""

    def __init__(self, work: Callable[[Suite], None]) -> None:
        self.work = work

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.work(Suite(session))
        return True


@dataclass(slots=True)
class MutationOutcome:
    """What became of the mutants that were tried, and what was found out about the tests."""

    fates: dict[Mutant, Fate] = field(default_factory=dict)
    left: list[Mutant] = field(default_factory=list)
    reach: Reach = field(default_factory=Reach)
    libraries: list[str] = field(default_factory=list)
    """What the tests import of others."""


@dataclass(frozen=True, slots=True)
class Runner:
    """The tests, how many run at once, and until when (monotonic time).

    `least_s` is the processor time that even the fastest tests get, `tried` is told each fate.
    """

    tests: tuple[str, ...]
    least_s: float
    processes: int
    until_s: float
    tried: Callable[[Mutant, Fate], None]

    def try_all(self, mutants: Sequence[Mutant]) -> MutationOutcome:
        """Try one mutant after the other while there is time.

        Raises ValueError when a test fails without any mutant, or none can be collected: nothing
        could be told then.
        """
        folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        try:
            _import(LIBRARIES)
            store = folder / "outcome"
            child = _fork(lambda _: self._in_functions(mutants, folder, store), folder / "surgeon")
            os.waitpid(child, 0)
            if not store.exists():
                said = (folder / "surgeon" / SAID).read_text("utf-8", "replace")
                raise ValueError(f"the tests cannot run: pytest {' '.join(self.tests)}\n{said}")
            outcome: MutationOutcome = pickle.loads(store.read_bytes())
            if outcome.reach.failed:
                failed = ", ".join(outcome.reach.failed)
                raise ValueError(f"these tests fail without any mutant: {failed}")
            _import(outcome.libraries)
            self._on_import(outcome, folder)
            return outcome
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _in_functions(self, mutants: Sequence[Mutant], folder: Path, store: Path) -> int:
        """Collect the tests, find what they reach, and try what can be put into a function."""
        outcome = MutationOutcome()

        def work(suite: Suite) -> None:
            outcome.reach = _reach(
                suite, {mutant.path for mutant in mutants}, self.processes, folder
            )
            if not outcome.reach.failed:
                _import(sorted(outcome.reach.imported))
                outcome.libraries = _libraries()
                living = _living_functions({mutant.path for mutant in mutants})
                gc.collect()
                gc.freeze()  # what the collector leaves alone is shared with the children
                jobs = self._jobs(suite, living, mutants, outcome)
                for job, fate, test in _race(jobs, self.processes, self.until_s, folder):
                    self._note(outcome, job.mutant, fate, test)
            store.write_bytes(pickle.dumps(outcome))

        return int(pytest.main([*OPTIONS, *self.tests], plugins=[_Instead(work)]))

    def _jobs(
        self,
        suite: Suite,
        living: Mapping[_Place, list[FunctionType]],
        mutants: Sequence[Mutant],
        outcome: MutationOutcome,
    ) -> Iterator[_Job]:
        for mutant in mutants:
            limits_s = outcome.reach.limits_s(mutant, self.least_s)
            if not limits_s:
                self._note(outcome, mutant, Fate.UNREACHED)
            elif not mutant.surgical:
                outcome.left.append(mutant)
            else:
                operation = _operate(suite, living, mutant, limits_s)
                longest_s = outcome.reach.longest_s(limits_s)
                yield _Job(mutant, operation, sum(limits_s.values()), ASLEEP_S + longest_s)

    def _on_import(self, outcome: MutationOutcome, folder: Path) -> None:
        """Try what takes effect only when a module is imported, in processes without it."""
        reach = outcome.reach
        jobs = (
            _Job(
                mutant,
                _import_spoiled(mutant, limits_s),
                2.0 * sum(limits_s.values()),
                ASLEEP_S + reach.longest_s(limits_s),
            )
            for mutant in outcome.left
            for limits_s in [reach.limits_s(mutant, self.least_s)]
        )
        for job, fate, test in _race(jobs, self.processes, self.until_s, folder):
            self._note(outcome, job.mutant, fate or Fate.KILLED, test)

    def _note(
        self, outcome: MutationOutcome, mutant: Mutant, fate: Fate | None, test: str = ""
    ) -> None:
        if fate is None:
            outcome.left.append(mutant)
            return
        if test and fate in (Fate.KILLED, Fate.TIMED_OUT):
            outcome.reach.note(mutant, test)
        outcome.fates[mutant] = fate
        self.tried(mutant, fate)


# What the tests reach


def _reach(suite: Suite, paths: set[str], processes: int, folder: Path) -> Reach:
    """Run each test once under the tracer, in forks: the collected tests stay as they are."""
    files = {str(suite.session.config.rootpath / path): path for path in paths}
    stores = [folder / f"reach-{number}" for number in range(processes)]

    def work(store: Path, names: Sequence[str], _: Path) -> int:
        reach = Reach()
        before = set(sys.modules)
        for name in names:
            tracer = _Tracer(files)
            began_s, at_s = time.process_time(), time.monotonic()
            passed = tracer.watch(partial(suite.run, [name]))
            reach.took_s[name] = time.process_time() - began_s
            reach.lasted_s[name] = time.monotonic() - at_s
            if not passed:
                reach.failed.append(name)
            for path, lines in tracer.lines.items():
                if lines:
                    reach.lines.setdefault(path, {})[name] = lines
        reach.imported = set(sys.modules) - before
        store.write_bytes(pickle.dumps(reach))
        return 0

    children = [
        _fork(
            partial(work, store, list(suite.items)[number::processes]), folder / f"trace-{number}"
        )
        for number, store in enumerate(stores)
    ]
    whole = Reach()
    for child, store in zip(children, stores, strict=True):
        os.waitpid(child, 0)
        if not store.exists():
            return Reach(failed=["all, as a process that ran them ended"])
        part: Reach = pickle.loads(store.read_bytes())
        whole.took_s.update(part.took_s)
        whole.lasted_s.update(part.lasted_s)
        whole.imported |= part.imported
        whole.failed += part.failed
        for path, tests in part.lines.items():
            whole.lines.setdefault(path, {}).update(tests)
    return whole


class _Tracer:
    """Notes the lines that run in some files (`paths` by their full names)."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.lines: dict[str, set[int]] = {path: set() for path in paths.values()}
        self._by_name = {name: self.lines[path] for name, path in paths.items()}
        self._calls: dict[CodeType, int] = {}

    def watch(self, work: Callable[[], bool]) -> bool:
        """The result of `work`, run under the tracer, its threads too."""
        threading.settrace(self._call)
        sys.settrace(self._call)
        try:
            return work()
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Any:
        lines = self._by_name.get(frame.f_code.co_filename)
        if lines is None:
            return None
        calls = self._calls.get(frame.f_code, 0)
        self._calls[frame.f_code] = calls + 1
        if calls >= TRACED_CALLS:
            return None
        lines.add(frame.f_lineno)

        def within(frame: FrameType, event: str, _arg: object) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            return within

        return within


# The two operations


def _operate(
    suite: Suite,
    living: Mapping[_Place, list[FunctionType]],
    mutant: Mutant,
    limits_s: Mapping[str, float],
) -> Callable[[Path], int]:
    """Put the spoiled code into the living function, then run the tests."""

    def work(own: Path) -> int:
        name = str(suite.session.config.rootpath / mutant.path)
        module = spoiled(mutant, Path(name).read_text("utf-8"), name)
        operated = False
        for code in _function_codes(module):
            if code.co_firstlineno <= mutant.lines[0] and _holds(code, mutant.lines[0]):
                for function in living.get(_place(code), []):
                    if function.__code__.co_freevars != code.co_freevars:
                        return UNUSABLE
                    function.__code__ = code
                    operated = True
        if not operated:
            return UNUSABLE
        return SURVIVED if suite.run(limits_s, limits_s, own / RUNNING) else KILLED

    return work


def _place(code: CodeType) -> _Place:
    return (code.co_filename, code.co_qualname, code.co_firstlineno)


def _function_codes(module: CodeType) -> Iterator[CodeType]:
    """The codes of the functions of a module and of its classes, not those within functions."""
    for code in module.co_consts:
        if isinstance(code, CodeType):
            if code.co_flags & IN_A_FUNCTION:
                yield code
            else:
                yield from _function_codes(code)


def _holds(code: CodeType, line: int) -> bool:
    """Whether a line is within a function, or a function within it."""
    if any(at == line for _, _, at in code.co_lines()):
        return True
    return any(isinstance(inner, CodeType) and _holds(inner, line) for inner in code.co_consts)


def _living_functions(paths: set[str]) -> dict[_Place, list[FunctionType]]:
    """All functions of these files that the process holds, by the place of their code."""
    living: dict[_Place, list[FunctionType]] = {}
    endings = tuple(paths)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.endswith(endings):
            living.setdefault(_place(thing.__code__), []).append(thing)
    return living


def _import_spoiled(mutant: Mutant, limits_s: Mapping[str, float]) -> Callable[[Path], int]:
    """Import the spoiled module in place of the real one, then run the tests, file by file."""

    def work(own: Path) -> int:
        sys.meta_path.insert(0, _Finder(mutant))
        for file in dict.fromkeys(test.split("::", 1)[0] for test in limits_s):
            noticed = False

            def run(suite: Suite) -> None:
                nonlocal noticed
                tests = [test for test in limits_s if test in suite.items]
                noticed = not suite.run(tests, limits_s, own / RUNNING)

            code = pytest.main([*OPTIONS, file], plugins=[_Instead(run)])
            good = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
            if noticed or not good:
                return KILLED
        return SURVIVED

    return work


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module of the mutant, and no other."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(
        self, fullname: str, _path: object, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        file = str(Path(self.mutant.path).resolve())
        loader = _Spoiler(fullname, file, self.mutant)
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


class _Spoiler(importlib.machinery.SourceFileLoader):
    """Loads the spoiled code."""

    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self.mutant = mutant

    def get_code(self, _fullname: str) -> CodeType:
        return spoiled(self.mutant, Path(self.path).read_text("utf-8"), str(self.path))


LIBRARIES = ("hypothesis.strategies", "numpy", "pydantic")
"""What the tests need, whichever they are."""


def _import(modules: Iterable[str]) -> None:
    """Import these so that each fork has them; what cannot be, the tests do without too."""
    for module in modules:
        if module not in sys.modules:
            with suppress(Exception):
                importlib.import_module(module)


def _libraries() -> list[str]:
    """The modules that this process has of others: what lies in no folder for them is ours."""
    homes = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    return [
        name
        for name, module in sys.modules.items()
        for file in [getattr(module, "__file__", None)]
        if file and not homes.isdisjoint(map(str, Path(os.path.realpath(file)).parents))
    ]


# Forks


@dataclass(frozen=True, slots=True)
class _Job:
    """Work on one mutant; it may take `limit_s` of processor time, and sleep for `asleep_s`."""

    mutant: Mutant
    work: Callable[[Path], int]
    limit_s: float
    asleep_s: float


@dataclass(slots=True)
class _Child:
    """A process of ours that has not been waited for: until then its id is nobody else's."""

    id: int
    job: _Job
    own: Path
    begun_s: float
    looked_s: float = 0.0
    switches: int | None = None
    busy_s: float = 0.0
    """When it was last seen to do anything."""

    def __post_init__(self) -> None:
        self.looked_s = self.busy_s = self.begun_s

    def has_ended(self) -> bool:
        """Whether it has, so that only `end` is left to do; its id stays taken."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.id, flags) is not None

    def is_over(self, now_s: float) -> bool:
        """Whether it has had its time, or sleeps for ever."""
        if now_s >= self.begun_s + WALL * self.job.limit_s:
            return True
        if now_s < self.looked_s + LOOKED_AT_EACH_S:
            return False
        self.looked_s = now_s
        try:
            switches = _switches(self.id)
        except OSError:  # a thread ended just now
            switches = None
        if switches is None or switches != self.switches:
            self.switches, self.busy_s = switches, now_s
        asleep = now_s >= self.busy_s + self.job.asleep_s
        return asleep and not psutil.Process(self.id).children()  # it may wait for their work

    def end(self) -> int:
        """End it and what it has started, and wait for it; its status."""
        for kill in (os.kill, os.killpg):  # just forked it has no group of its own yet
            with suppress(ProcessLookupError, PermissionError):
                kill(self.id, signal.SIGKILL)
        return os.waitpid(self.id, 0)[1]

    def test(self) -> str:
        """The test that it ran last."""
        running = self.own / RUNNING
        return running.read_text("utf-8") if running.exists() else ""


def _switches(process: int) -> int | None:
    """How often its threads have been put to sleep so far; None unless all of them sleep now."""
    threads = [
        (task / "status").read_text("utf-8", "replace").splitlines()
        for task in Path(f"/proc/{process}/task").iterdir()
    ]
    fields = [dict(line.split(":\t", 1) for line in lines if ":\t" in line) for lines in threads]
    if not all(field["State"].startswith("S") for field in fields):
        return None
    return sum(int(field["voluntary_ctxt_switches"]) for field in fields)


def _race(
    jobs: Iterator[_Job], processes: int, until_s: float, folder: Path
) -> Iterator[tuple[_Job, Fate | None, str]]:
    """Work the jobs off, so many at once; the fate of each mutant, and the last test that ran.

    The fate is None for a mutant that could not be put in place.  No job is begun after `until_s`.
    """
    running: list[_Child] = []
    number = 0
    more = True
    while more or running:
        while more and len(running) < processes:
            job = next(jobs, None) if time.monotonic() < until_s else None
            if job is None:
                more = False
                break
            number += 1
            own = folder / f"{os.getpid()}-{number}"
            running.append(_Child(_fork(job.work, own, job.limit_s), job, own, time.monotonic()))
        for child in tuple(running):
            ended = child.has_ended()
            if not ended and not child.is_over(time.monotonic()):
                continue
            running.remove(child)
            status, test = child.end(), child.test()
            shutil.rmtree(child.own, ignore_errors=True)
            yield child.job, _fate(status) if ended else Fate.TIMED_OUT, test
        time.sleep(0.002)


def _fate(status: int) -> Fate | None:
    if os.WIFSIGNALED(status):
        out_of_time = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return Fate.TIMED_OUT if out_of_time else Fate.KILLED
    code = os.WEXITSTATUS(status)
    if code == UNUSABLE:
        return None
    return Fate.SURVIVED if code == SURVIVED else Fate.KILLED


def _fork(work: Callable[[Path], int], own: Path, limit_s: float | None = None) -> int:
    """Do `work` in a child with its own folder and process group, silent; its id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        os.setsid()
        _die_with(parent)
        own.mkdir(parents=True, exist_ok=True)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(own)
        if limit_s is not None:
            _limit(limit_s)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent if limit_s else os.open(own / SAID, os.O_WRONLY | os.O_CREAT), 2)
        code = work(own)
    except Exception:  # whatever it is, the child has failed, and says so by its exit code
        traceback.print_exc()
    finally:
        os._exit(code)


def _limit(limit_s: float) -> None:
    """End this process after so much more processor time, or after waiting much longer."""
    ends_s = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) + limit_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (ends_s, resource.RLIM_INFINITY))
    faulthandler.dump_traceback_later(WALL * limit_s, exit=True)


def _die_with(parent: int) -> None:
    """Have Linux end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(KILLED)

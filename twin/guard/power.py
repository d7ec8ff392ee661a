"""What the guard sees: planted regressions, and clean repeats in which there is nothing to see.

Each plant goes through the short worlds until one of them is worse than the baseline.  Whether it
had to be seen is judged in the scenarios at full size: it costs `HARM_COST` or more, or loses SLO,
readiness or reaction by more than the figure's limit.  What was run is kept, so an interrupted
trial goes on where it was; a changed line of code makes it begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.guard import judge, runs
from twin.guard.baseline import Baseline
from twin.guard.judge import Shift
from twin.guard.limits import HARM_COST, HARMS, LIMITS
from twin.guard.plants import Plant
from twin.guard.runs import ROUNDING, GuardRow, Task
from twin.runs.seeds import seed_of
from twin.runs.workers import spread

OTHER = 2
"""The clean repeats have seeds that follow from this one."""
LEAST_SEEN = 0.9
Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one plant: the first world that saw it and the figures that got worse there.

    `apart` are the worlds, of those it went through, in which the engine decided otherwise than
    without it.
    """

    plant: str
    says: str
    world: str
    figures: tuple[str, ...]
    apart: tuple[str, ...]

    @property
    def seen(self) -> bool:
        """Whether the guard fails with it."""
        return bool(self.world)


@dataclass(frozen=True, slots=True)
class Harm:
    """What a plant does at full size: the first scenario in which it does harm, and by what."""

    plant: str
    scenario: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One clean repeat: the figures, if any, that would have failed a build."""

    number: int
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _PlantTask:
    plant: Plant
    baseline: Baseline
    settings: Mapping[str, Mapping[str, Any]]
    seeds: int
    folder: Path


@dataclass(frozen=True, slots=True)
class _HarmTask:
    plant: Plant
    settings: Mapping[str, Mapping[str, Any]]
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class _CleanTask:
    number: int
    baseline: Baseline
    settings: Mapping[str, Mapping[str, Any]]
    seeds: int
    folder: Path


def trials(
    plants: Sequence[Plant],
    baseline: Baseline,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    folder: Path,
    advance: Advance,
) -> list[Trial]:
    """Each plant in the short worlds; `settings` are their composed configurations."""
    tasks = [_PlantTask(plant, baseline, settings, seeds, folder) for plant in plants]
    return _all(_try, tasks, advance)


def harms(
    plants: Sequence[Plant],
    settings: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    folder: Path,
    advance: Advance,
) -> list[Harm]:
    """What each plant does in the scenarios at full size."""
    clean = [Task(name, one, seed, folder=folder) for name, one in settings.items()]
    for _ in spread(runs.run, clean):
        pass
    tasks = [_HarmTask(plant, settings, seed, folder) for plant in plants]
    return _all(_harm, tasks, advance)


def repeats(
    count: int,
    baseline: Baseline,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    folder: Path,
    advance: Advance,
) -> list[Alarm]:
    """The engine as it is, `count` times with other seeds and with figures rounded otherwise."""
    tasks = [_CleanTask(k, baseline, settings, seeds, folder) for k in range(1, count + 1)]
    return _all(_repeat, tasks, advance)


def _all(work: Callable[[Any], Any], tasks: Sequence[Any], advance: Advance) -> list[Any]:
    results: dict[int, Any] = {}
    for place, result in spread(work, tasks):
        results[place] = result
        advance(len(results))
    return [results[place] for place in sorted(results)]


def _try(task: _PlantTask) -> Trial:
    apart = []
    for name, settings in task.settings.items():
        world = task.baseline[name]
        before = world.rows[: task.seeds]
        rows = [
            runs.run(Task(name, settings, row.seed, plant=task.plant, folder=task.folder))
            for row in before
        ]
        if any(row.digest != old.digest for row, old in zip(rows, before, strict=True)):
            apart.append(name)
        failed = next((row.error for row in rows if row.error), "")
        worse = [shift.figure for shift in judge.paired(name, world, rows) if shift.worse]
        if failed or worse:
            figures = ("the engine fails",) if failed else tuple(worse)
            return Trial(task.plant.name, task.plant.says, name, figures, tuple(apart))
    return Trial(task.plant.name, task.plant.says, "", (), tuple(apart))


def _harm(task: _HarmTask) -> Harm:
    for name, settings in task.settings.items():
        before = runs.run(Task(name, settings, task.seed, folder=task.folder))
        after = runs.run(Task(name, settings, task.seed, plant=task.plant, folder=task.folder))
        figures = harm_of(before, after)
        if figures:
            return Harm(task.plant.name, name, figures)
    return Harm(task.plant.name, "", ())


def harm_of(before: GuardRow, after: GuardRow) -> tuple[str, ...]:
    """What is lost from `before` to `after`, each with by how much; empty where nothing is."""
    if after.error:
        return ("the engine fails",)
    lost = []
    was, now = before.figures["cost.total_usd"], after.figures["cost.total_usd"]
    if was and now and now / was - 1.0 >= HARM_COST:
        lost.append(f"cost {now / was - 1.0:+.1%}")
    for figure, limit in LIMITS.items():
        if not figure.startswith(HARMS):
            continue
        old, new = before.figures.get(figure), after.figures.get(figure)
        if old is None or new is None:
            continue
        worse = (new - old) * (1.0 if limit.higher_is_worse else -1.0)
        if worse > limit.allowed(old):
            lost.append(f"{figure} {old:.4g} → {new:.4g}")
    return tuple(lost)


def _repeat(task: _CleanTask) -> Alarm:
    tests = judge.tests_of(task.baseline)
    worse: list[Shift] = []
    for name, settings in task.settings.items():
        rows = [
            runs.run(Task(name, settings, seed, ROUNDING, folder=task.folder))
            for seed in other_seeds(task.number, task.seeds)
        ]
        shifts = judge.unpaired(name, task.baseline[name], rows, tests)
        worse += [shift for shift in shifts if shift.worse]
    return Alarm(task.number, tuple(f"{shift.world}: {shift.figure}" for shift in worse))


def other_seeds(number: int, count: int) -> list[int]:
    """The seeds of repeat `number` (from 1), none of them of the baseline."""
    return [seed_of(OTHER, (number - 1) * count + k + 1) for k in range(count)]


def markdown(
    trials: Sequence[Trial], harms: Sequence[Harm], alarms: Sequence[Alarm], worlds: int
) -> str:
    """The trial, fit for a page."""
    harm = {one.plant: one for one in harms}
    seen = [one for one in trials if one.seen]
    has_to = [one for one in trials if one.plant in harm and harm[one.plant].scenario]
    missed = [one for one in has_to if not one.seen]
    false = [one for one in alarms if one.figures]
    lines = [
        "### What the guard sees",
        "",
        f"{len(trials)} regressions planted, {len(seen)} seen. {_share(has_to, missed)}",
        f"{len(alarms)} clean repeats with other seeds and rounding: {len(false)} false alarms.",
        "",
        "| planted | seen in | by | at full size |",
        "| --- | --- | --- | --- |",
    ]
    for one in trials:
        at = harm.get(one.plant)
        says = "" if at is None else "no harm"
        if at is not None and at.scenario:
            says = f"{at.scenario}: {'; '.join(at.figures)}"
        lines.append(
            f"| {one.plant} | {one.world or '**not seen**'} "
            f"| {', '.join(f'`{figure}`' for figure in one.figures)} | {says} |"
        )
    same = ", ".join(one.plant for one in trials if not one.apart) or "none"
    other = [one.plant for one in trials if one.apart and not one.seen and one not in missed]
    lines += [
        "",
        f"**No world of {worlds} tells apart** (the engine decides the same in each): {same}. "
        "A rule that nothing can miss is a rule to question.",
        "",
        f"**Told apart, but not worse by any figure**: {', '.join(other) or 'none'}.",
    ]
    lines += [f"- false alarm in repeat {one.number}: {', '.join(one.figures)}" for one in false]
    return "\n".join(lines) + "\n"


def passed(trials: Sequence[Trial], harms: Sequence[Harm], alarms: Sequence[Alarm]) -> bool:
    """Whether enough of what does harm is seen, and nothing where there is nothing."""
    seen = {one.plant for one in trials if one.seen}
    harmful = [one.plant for one in harms if one.scenario]
    enough = sum(plant in seen for plant in harmful) >= LEAST_SEEN * len(harmful)
    return enough and not any(one.figures for one in alarms)


def _share(has_to: Sequence[Trial], missed: Sequence[Trial]) -> str:
    if not has_to:
        return "Harm at full size was not judged."
    count = len(has_to) - len(missed)
    return (
        f"Of {len(has_to)} that do harm in a scenario at full size, {count} are seen "
        f"({count / len(has_to):.0%})."
    )

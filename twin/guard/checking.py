"""The guard itself: run the short worlds, compare, and say what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twin.guard import baseline, judge, runs, worlds
from twin.guard.baseline import Baseline
from twin.guard.judge import Shift
from twin.guard.runs import GuardRow, Task
from twin.runs.seeds import seed_of
from twin.runs.workers import spread


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """What was compared.

    `failed` says of each world in which the engine raised, or requests were not conserved, what it
    was; `same` counts the worlds in which it decided as it did, of `count`.
    """

    shifts: tuple[Shift, ...]
    failed: Mapping[str, str]
    same: int
    count: int
    seeds: int
    paired: bool

    @property
    def worse(self) -> list[Shift]:
        """The figures that got worse, the farthest beyond what is allowed first."""
        return sorted(
            (shift for shift in self.shifts if shift.worse),
            key=lambda shift: -shift.harm / max(shift.allowed, 1e-12),
        )

    @property
    def good(self) -> bool:
        """Whether nothing got worse."""
        return not self.worse and not self.failed


def check(
    stored: Baseline,
    there: Mapping[str, worlds.GuardWorldConfig],
    seeds: int,
    other: int | None,
    *,
    advance: Callable[[float], None],
) -> GuardVerdict:
    """Run the worlds `there` with the first `seeds` of the baseline's, or those of `other`.

    Raises GuardError where a world has changed, whoever scales in it.
    """
    tasks = [
        Task(name, settings, seed)
        for name, world in there.items()
        for settings in [worlds.settings(world)]
        for seed in (
            [row.seed for row in stored[name].rows[:seeds]]
            if other is None
            else [seed_of(other, k) for k in range(seeds)]
        )
    ]
    rows: dict[str, dict[int, GuardRow]] = {name: {} for name in there}
    for done, (place, row) in enumerate(spread(runs.run, tasks), 1):
        rows[tasks[place].world][row.seed] = row
        advance(done)
    return compared(stored, {name: list(own.values()) for name, own in rows.items()})


def compared(stored: Baseline, rows: Mapping[str, Sequence[GuardRow]]) -> GuardVerdict:
    """The verdict on `rows`, paired where the baseline has all their seeds."""
    shifts: list[Shift] = []
    failed: dict[str, str] = {}
    same = 0
    pairs = all(stored[name].row(row.seed) for name, own in rows.items() for row in own)
    tests = judge.tests_of(stored)
    for name, own in rows.items():
        error = next((row.error for row in own if row.error), "")
        if error:
            failed[name] = error
            continue
        if not pairs:
            shifts += judge.unpaired(name, stored[name], own, tests)
            continue
        for row in own:
            before = stored[name].row(row.seed)
            assert before is not None
            baseline.check_world(name, before, row)
        same += all(
            (before := stored[name].row(row.seed)) is not None and before.digest == row.digest
            for row in own
        )
        shifts += judge.paired(name, stored[name], own)
    seeds = max((len(own) for own in rows.values()), default=0)
    return GuardVerdict(tuple(shifts), failed, same, len(rows), seeds, pairs)


def between(old: Baseline, new: Baseline) -> GuardVerdict:
    """What a new baseline changes of an old one, in the worlds that are the same in both."""
    common = {
        name: list(world.rows)
        for name, world in new.items()
        if name in old and _same_world(old[name], world)
    }
    return compared(old, common)


def _same_world(old: baseline.WorldBaseline, new: baseline.WorldBaseline) -> bool:
    try:
        for row in new.rows:
            before = old.row(row.seed)
            if before is None:
                return False
            baseline.check_world("", before, row)
    except ValueError:
        return False
    return old.overrides == new.overrides


def markdown(verdict: GuardVerdict) -> str:
    """What changed, fit for a comment on a pull request."""
    worse, better = verdict.worse, [shift for shift in verdict.shifts if shift.better]
    if worse or verdict.failed:
        says = f"**{len(worse)} of {len(verdict.shifts)} figures got worse.**"
        says += "".join(f" **{name}: {why}.**" for name, why in verdict.failed.items())
    else:
        says = f"No figure got worse ({len(verdict.shifts)} compared)."
    lines = ["### Scaling behaviour", "", f"{says} {len(better)} got better."]
    if verdict.paired:
        lines[-1] += f" The engine decides as it did in {verdict.same} of {verdict.count} worlds."
    if worse or better:
        lines += [
            "",
            "| world | figure | before | after | worse by | allowed | |",
            "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        ]
    lines += [
        f"| {shift.world} | `{shift.figure}` | {shift.before:.6g} | {shift.after:.6g} "
        f"| {shift.harm:+.4g} | {shift.allowed:.3g} | {mark} |"
        for mark, some in (("✗ worse", worse), ("✓ better", better))
        for shift in some
    ]
    how = "paired by seed" if verdict.paired else "of other seeds than the baseline's"
    lines += ["", f"{verdict.count} worlds, {verdict.seeds} seeds each, {how}."]
    return "\n".join(lines) + "\n"

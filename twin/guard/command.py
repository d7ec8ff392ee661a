"""`python -m twin guard`: whether scaling got worse, and whether the guard would see it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from engine.config import assignments
from engine.config.strict import ConfigError
from twin.guard.errors import GuardError

KEYS = ("baseline", "worlds", "plants", "seeds", "other", "repeats", "harm", "output")
HARM = ("unseen", "all", "none")
BASELINE = Path("tests/regression/baselines/guard.json")
ACTIONS = ("check", "update", "power")
MOST_SEEDS = 12


@dataclass(frozen=True, slots=True)
class GuardArguments:
    """What the command line asks for."""

    action: str
    wanted: tuple[str, ...]
    baseline: Path
    worlds: Path | None
    plants: Path | None
    seeds: int
    other: int | None
    """The seed from which other seeds than the baseline's follow; None: the baseline's."""
    repeats: int
    harm: str
    output: Path


def read_arguments(arguments: Sequence[str]) -> GuardArguments:
    """Take apart the command line; raises ConfigError."""
    words = [word for word in arguments if re.match(r"^-|^[a-z]+=", word)]
    given = assignments.read([w for w in words if w.partition("=")[0] in KEYS or w[0] == "-"],
                             KEYS, tree=False).own  # fmt: skip
    wanted = tuple(w for w in arguments if w.partition("=")[0] not in KEYS and w[0] != "-")
    action = "check"
    if wanted[:1] and wanted[0] in ACTIONS:
        action, wanted = wanted[0], wanted[1:]
    harm = given.get("harm", "unseen")
    if harm not in HARM:
        raise ConfigError(f'harm: "{harm}" is not allowed ({", ".join(HARM)})')
    return GuardArguments(
        action=action,
        wanted=wanted,
        baseline=Path(given.get("baseline", BASELINE)),
        worlds=Path(given["worlds"]) if "worlds" in given else None,
        plants=Path(given["plants"]) if "plants" in given else None,
        seeds=assignments.whole("seeds", given.get("seeds", "1"), 1, MOST_SEEDS),
        other=assignments.whole("other", given["other"], 0, 10**9) if "other" in given else None,
        repeats=assignments.whole("repeats", given.get("repeats", "100"), 0, 10_000),
        harm=harm,
        output=Path(given.get("output", "outputs/guard")),
    )


def run(arguments: Sequence[str]) -> int:
    """Run; 0: nothing got worse, 1: something did, 2: bad input, 130: interrupted."""
    try:
        options = read_arguments(arguments)
        return {"check": _check, "update": _update, "power": _power}[options.action](options)
    except (ConfigError, GuardError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was tried is kept, the same command goes on", file=sys.stderr)
        return 130


def _check(options: GuardArguments) -> int:
    from twin.guard import baseline, checking, worlds

    every = worlds.read(options.worlds).short
    names = worlds.chosen(options.wanted, every)
    stored = baseline.read(options.baseline)
    some = {name: every[name] for name in names}
    baseline.check(stored, some)
    with _progress("guard", len(some) * options.seeds) as advance:
        verdict = checking.check(stored, some, options.seeds, options.other, advance=advance)
    return _say(options.output / "guard.md", checking.markdown(verdict), verdict.good)


def _update(options: GuardArguments) -> int:
    from twin.guard import baseline, checking, worlds

    every = worlds.read(options.worlds).short
    if options.wanted:
        raise ConfigError("guard update: renews all worlds, so that they are of one engine")
    with _progress("baseline", baseline.runs_of(len(every))) as advance:
        new = baseline.make(every, advance)
    try:
        old = baseline.read(options.baseline)
    except GuardError as error:
        print(f"there was nothing to compare with: {error}", file=sys.stderr)
    else:
        print(checking.markdown(checking.between(old, new)), end="")
    baseline.write(new, options.baseline)
    print(options.baseline)
    return 0


def _power(options: GuardArguments) -> int:
    from twin.guard import baseline, checking, plants, power, worlds

    every = worlds.read(options.worlds)
    planted = plants.chosen(options.wanted, plants.read(options.plants))
    stored = baseline.read(options.baseline)
    baseline.check(stored, every.short)
    folder = options.output / "runs"
    short = {name: worlds.settings(world) for name, world in every.short.items()}
    full = {name: worlds.settings(world) for name, world in every.full.items()}
    with _progress("as it is", len(short) * options.seeds) as advance:
        verdict = checking.check(stored, every.short, options.seeds, None, advance=advance)
    if not verdict.good:
        print(checking.markdown(verdict), end="", file=sys.stderr)
        raise GuardError("the engine as it is differs already, so nothing can be tried")
    with _progress("plants", len(planted)) as advance:
        trials = power.trials(
            planted, stored, short, seeds=options.seeds, folder=folder, advance=advance
        )
    unseen = {trial.plant for trial in trials if not trial.seen}
    judged = [p for p in planted if options.harm == "all" or p.name in unseen]
    harms: list[power.Harm] = []
    if options.harm != "none":
        with _progress("at full size", len(judged)) as advance:
            harms = power.harms(judged, full, seed=1, folder=folder, advance=advance)
    with _progress("clean repeats", options.repeats) as advance:
        alarms = power.repeats(
            options.repeats, stored, short, seeds=options.seeds, folder=folder, advance=advance
        )
    text = power.markdown(trials, harms, alarms, len(short))
    return _say(options.output / "power.md", text, power.passed(trials, harms, alarms))


def _say(path: Path, text: str, good: bool) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if good else 1


def _progress(name: str, total: int) -> AbstractContextManager[Callable[[float], None]]:
    from twin.commands import terminal  # it takes what draws on terminals along

    return terminal.progress(name, total)

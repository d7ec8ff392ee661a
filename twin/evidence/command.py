"""`python -m twin evidence`: measure the claims, write the bundle; verify one; draw its page."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from engine.config.complaints import close
from engine.config.strict import ConfigError
from engine.record.files import sync, write_atomically
from engine.record.folders import check_writable, explained, sync_whole
from engine.record.machine import versions
from twin.commands import terminal
from twin.evidence import bundle, canonical, claims, measuring, statement, verify
from twin.evidence.claims import LEVELS, Claim, Level

KEYS = ("level", "seed", "day", "load", "signer", "key", "claims", "output")
UNFINISHED = ".unfinished-"
CODE = ("engine", "scenarios", "twin", "conf", "locustfiles", "reports")
"""The packages whose code a figure may depend on."""


@dataclass(frozen=True, slots=True)
class EvidenceArguments:
    """What the command line asks for."""

    wanted: tuple[str, ...]
    level: Level
    seed: int
    day: dt.date | None
    """The day that is to be carried; None: the next busiest day is not named."""
    load: str
    signer: str
    key: Path | None
    claims: tuple[Path, ...]
    output: Path


def read(arguments: Sequence[str]) -> EvidenceArguments:
    """Take apart the command line of a run; raises ConfigError for what cannot be read."""
    wanted: list[str] = []
    given: dict[str, str] = {}
    folders: list[Path] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-"):
            raise ConfigError(f"{argument}: unknown option{close(argument, ['--help'])}")
        if not equals:
            wanted.append(argument)
        elif key == "claims":
            folders.append(Path(value))
        elif key not in KEYS:
            raise ConfigError(f"{key}: unknown key{close(key, KEYS)} ({', '.join(KEYS)})")
        elif not value:
            raise ConfigError(f"{key}: is missing")
        else:
            given[key] = value
    level = given.get("level", "quick")
    if level not in LEVELS:
        raise ConfigError(f'level: "{level}" is not allowed ({", ".join(LEVELS)})')
    return EvidenceArguments(
        wanted=tuple(wanted),
        level="full" if level == "full" else "quick",
        seed=_seed(given.get("seed", "1")),
        day=_day("day", given["day"]) if "day" in given else None,
        load=given.get("load", ""),
        signer=given.get("signer", ""),
        key=Path(given["key"]) if "key" in given else None,
        claims=tuple(folders),
        output=Path(given.get("output", "outputs/evidence")),
    )


def run(arguments: Sequence[str], render: Callable[[Path], None]) -> tuple[Path, bool]:
    """Measure and write the bundle; its folder, and whether all that was measured is shown.

    Raises ConfigError or OutputError; after an interrupt the same command goes on where it was.
    """
    options = read(arguments)
    every = claims.read(options.claims)
    wanted = claims.chosen(every, options.wanted)
    key = None if options.key is None else statement.private_key(options.key)
    check_writable(options.output)
    with explained(options.output):
        folder = _begin(options, every, wanted)
        measured = [name for name in wanted if every[name][0].measure is not None]
        with terminal.progress("evidence", _minutes(every, measured, options.level)) as advance:
            _measure(folder, [every[name][0] for name in measured], options, advance)
        results = bundle.results(folder)
        write_atomically(folder / bundle.RESULTS, canonical.text(results))
        for name, text in statement.statements(results, bundle.bundle_digest(folder)).items():
            write_atomically(folder / name, text)
            if key is not None:
                envelope = statement.signed(text, key)
                write_atomically(folder / name.replace(".json", ".dsse.json"), envelope)
        render(folder)
        write_atomically(folder / bundle.MANIFEST, canonical.text(bundle.manifest(folder)))
        made = _finish(folder, options, results)
    terminal.show_evidence(results, made)
    shown = all(results["claims"][name]["outcome"] != "not shown" for name in measured)
    return made, shown


def check(arguments: Sequence[str]) -> list[str]:
    """`evidence verify FOLDER [key=FILE]`: what was touched; raises ConfigError."""
    folder, given = _folder("verify", arguments, ("key",))
    key = statement.public_key(Path(given["key"])) if "key" in given else None
    return verify.problems(folder, key)


def page(arguments: Sequence[str], render: Callable[..., None]) -> Path:
    """`evidence page FOLDER [date=DAY] [out=FILE]`: the page as of a day; raises ConfigError."""
    folder, given = _folder("page", arguments, ("date", "out"))
    day = _day("date", given["date"]) if "date" in given else dt.datetime.now(dt.UTC).date()
    out = Path(given.get("out", f"{folder}.html"))
    check_writable(out.parent)
    render(folder, day=day.isoformat(), out=out)
    return out


def _begin(
    options: EvidenceArguments, every: Mapping[str, tuple[Claim, bytes]], wanted: list[str]
) -> Path:
    """The unfinished bundle to go on with, or a new one whose plan is on the disk."""
    started = dt.datetime.now(dt.UTC)
    planned = bundle.plan(
        every,
        wanted,
        level=options.level,
        seed=options.seed,
        day=options.day or started.date(),
        load=options.load,
        signer=options.signer,
        started=started,
        versions={**versions(), "code_sha256": _code_digest()},
    )
    same = {key: value for key, value in planned.items() if key not in ("fixed_at", "day")}
    folder = options.output / f"{UNFINISHED}{canonical.digest(same)[:16]}"
    if (folder / bundle.PLAN).exists():
        return folder
    (folder / "claims").mkdir(parents=True, exist_ok=True)
    for name, (_, text) in every.items():
        write_atomically(folder / "claims" / f"{name}.yaml", text)
    write_atomically(folder / bundle.PLAN, canonical.text(planned))
    return folder


def _measure(
    folder: Path,
    measured: Sequence[Claim],
    options: EvidenceArguments,
    advance: Callable[[float], None],
) -> None:
    done = 0.0
    for claim in measured:
        minutes = claim.level(options.level).minutes
        for share, role in enumerate(bundle.ROLES, 1):

            def note(_: str) -> None:
                """Rows come in steps of their own; the bar moves with the claims."""

            measuring.measure(
                folder, claim, role, level=options.level, seed=options.seed, advance=note
            )
            advance(done + minutes * share / len(bundle.ROLES))
        done += minutes


def _finish(folder: Path, options: EvidenceArguments, results: Mapping[str, Any]) -> Path:
    """Give the whole bundle its name."""
    began = re.sub(r"[-:]", "", results["plan"]["fixed_at"][:19])
    sync_whole(folder)
    for number in range(1, 1000):
        suffix = "" if number == 1 else f"-{number}"
        made = options.output / f"{began}Z-{options.level}{suffix}"
        if not made.exists():
            folder.rename(made)
            sync(options.output)
            return made
    shutil.rmtree(folder)
    raise ConfigError(f"output: {options.output}: no free name")


def _minutes(
    every: Mapping[str, tuple[Claim, bytes]], measured: Sequence[str], level: Level
) -> float:
    return sum(every[name][0].level(level).minutes for name in measured)


def _code_digest() -> str:
    """A digest of the code and the configuration that figures are made by."""
    whole = hashlib.sha256()
    for package in CODE:
        root = Path(str(resources.files(package)))
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".yaml", ".j2")):
            whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def _folder(
    name: str, arguments: Sequence[str], keys: Sequence[str]
) -> tuple[Path, dict[str, str]]:
    places = [argument for argument in arguments if "=" not in argument]
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    for key in given:
        if key not in keys:
            raise ConfigError(f"{key}: unknown key{close(key, keys)} ({', '.join(keys)})")
    if len(places) != 1:
        raise ConfigError(f"evidence {name}: give one folder, that of a bundle")
    folder = Path(places[0])
    if not (folder / bundle.PLAN).is_file():
        raise ConfigError(f"{folder}: is no bundle of evidence ({bundle.PLAN} is not there)")
    return folder, given


def _seed(value: str) -> int:
    if not re.fullmatch(r"\d{1,18}", value):
        raise ConfigError(f'seed: "{value}" is not allowed (a whole number from 0)')
    return int(value)


def _day(key: str, value: str) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f'{key}: "{value}" is not allowed (a day, YYYY-MM-DD)') from None

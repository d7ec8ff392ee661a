"""`python -m twin evidence`: measure the claims, write the bundle; verify one; draw its page."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from engine.config.strict import ConfigError
from engine.record.files import sync, write_atomically
from engine.record.folders import check_writable, explained, sync_whole
from engine.record.machine import versions
from twin.commands import terminal
from twin.evidence import bundle, canonical, lanes, statement, verify
from twin.evidence.arguments import PLAN, EvidenceArguments
from twin.evidence.claims import Claim, Level

UNFINISHED = ".unfinished-"
CODE = ("engine", "scenarios", "twin", "conf", "locustfiles", "reports")
"""The packages whose code a figure may depend on."""


def run(
    options: EvidenceArguments,
    every: Mapping[str, tuple[Claim, bytes]],
    wanted: Sequence[str],
    render: Callable[[Path], None],
) -> tuple[Path, bool]:
    """Measure and write the bundle; its folder, and whether all that had to be is shown.

    `every` claim is on the page, those `wanted` are measured.  What has to be shown is what was
    asked for by name; where nothing was, what one may not go live without.

    Raises ConfigError or OutputError; after an interrupt the same command goes on where it was.
    """
    key = None if options.key is None else statement.private_key(options.key)
    check_writable(options.output)
    with explained(options.output):
        folder = _begin(options, every, wanted)
        measured = [name for name in wanted if every[name][0].measure is not None]
        with terminal.progress("evidence", _minutes(every, measured, options.level)) as advance:
            claims = [every[name][0].measured_on(options.data) for name in measured]
            lanes.measure_all(
                folder, claims, level=options.level, seed=options.seed, advance=advance
            )
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
    needed = [name for name in measured if options.wanted or every[name][0].required]
    return made, all(results["claims"][name]["outcome"] != "not shown" for name in needed)


def check(folder: Path, key: Path | None) -> list[str]:
    """What of a bundle was touched; raises ConfigError for a key that cannot be used."""
    return verify.problems(folder, None if key is None else statement.public_key(key))


def page(folder: Path, day: dt.date, out: Path, render: Callable[..., None]) -> Path:
    """Draw the page of a bundle as of a day; raises OutputError."""
    check_writable(out.parent, "out")
    render(folder, day=day.isoformat(), out=out)
    return out


def _begin(
    options: EvidenceArguments, every: Mapping[str, tuple[Claim, bytes]], wanted: Sequence[str]
) -> Path:
    """The unfinished bundle to go on with, or a new one whose plan is on the disk."""
    started = dt.datetime.now(dt.UTC)
    planned = bundle.plan(
        every,
        list(wanted),
        options,
        started=started,
        versions={**versions(), "code_sha256": _code_digest()},
    )
    passing = ("fixed_at",) if options.day else ("fixed_at", "day")
    same = {key: value for key, value in planned.items() if key not in passing}
    folder = options.output / f"{UNFINISHED}{canonical.digest(same)[:16]}"
    if (folder / PLAN).exists():
        return folder
    (folder / "claims").mkdir(parents=True, exist_ok=True)
    for name, (_, text) in every.items():
        write_atomically(folder / "claims" / f"{name}.yaml", text)
    write_atomically(folder / PLAN, canonical.text(planned))
    return folder


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

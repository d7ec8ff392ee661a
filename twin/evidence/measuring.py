"""Measure the claims of a plan, row by row, so that what was interrupted goes on where it was.

Each row that is there is on the disk before the next is asked for.  Rows that are made one by one
(`measure.each`) are kept one by one; those that come together are kept together, and so is a record
that they are made of.  Of a claim of two worlds the simulated rows may be made by another process
and before the rest (`compute`): whoever measures it then goes on from them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.load import load
from engine.record.files import write_atomically
from engine.record.folders import sync_whole
from twin.evidence import canonical
from twin.evidence.bundle import Role, raw_file, record_folder, why_file
from twin.evidence.claims import RECORD, Claim, Level
from twin.evidence.rows import NoRowError, parsed, written
from twin.runs.lifetimes import kill_with_parent
from twin.runs.seeds import seed_of
from twin.runs.workers import spread

Measure = Callable[..., None]
"""`measure` or `compute`."""

MOST_SAID = 2000
"""Characters of what a failing command wrote that are kept."""

Advance = Callable[[float], None]
"""Is told what share of the rows is there."""


def measure(
    folder: Path,
    claim: Claim,
    role: Role,
    *,
    level: Level,
    seed: int,
    advance: Advance,
    earlier: Sequence[Claim] = (),
) -> None:
    """Measure one claim, or its negative control, into the bundle's `folder`.

    Rows that one of the `earlier` claims has asked for in the same words are taken from there.  A
    measurement that fails is no error: why is kept in place of its rows.
    """
    rows, why = folder / raw_file(claim.id, role), folder / why_file(claim.id, role)
    if rows.exists() or why.exists():
        advance(1.0)
        return
    rows.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = written(
            _rows(folder, claim, role, level, seed=seed, advance=advance, earlier=earlier)
        )
    except Exception as error:  # a measurement may raise anything; that it did is the result
        write_atomically(why, canonical.text({"why": _named(error)}))
        return
    write_atomically(rows, text)
    rows.with_suffix(".part").unlink(missing_ok=True)
    advance(1.0)


def compute(
    folder: Path,
    claim: Claim,
    role: Role,
    *,
    level: Level,
    seed: int,
    advance: Advance,
    earlier: Sequence[Claim] = (),
) -> None:
    """Make the simulated rows of a claim of two worlds, and keep them for `measure`.

    What fails is left to that as well.
    """
    rows = folder / raw_file(claim.id, role)
    if rows.exists() or (folder / why_file(claim.id, role)).exists():
        return
    rows.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Exception):
        if _same(folder, claim, role, level, earlier=earlier) is None:
            _each(folder, claim, role, level, seed=seed, advance=advance)


def played_in(claim: Claim, role: Role, level: Level, seed: int) -> str:
    """A digest of the words in which the record is played that a claim's rows are made of."""
    assert claim.measure is not None and claim.measure.record is not None
    words = claim.options(level, control=role == "control").get(RECORD, {})
    return canonical.digest({"record": claim.measure.record, "words": words, "seed": seed})


def play(folder: Path, claim: Claim, role: Role, *, level: Level, seed: int) -> None:
    """Play the record that a claim's rows are made of, and keep it for `measure`.

    If that fails, why is kept in place of the claim's rows.
    """
    rows, why = folder / raw_file(claim.id, role), folder / why_file(claim.id, role)
    if rows.exists() or why.exists():
        return
    try:
        _record(folder, claim, role, level, seed=seed)
    except Exception as error:  # as in `measure`
        why.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(why, canonical.text({"why": _named(error)}))


def rows_of(claim: Claim, role: Role, level: Level) -> int:
    """How many rows are asked for."""
    if role == "control" and claim.control is not None and claim.control.rows is not None:
        return claim.control.rows
    return claim.level(level).rows


def _asked(claim: Claim, role: Role, level: Level) -> tuple[str, int, Mapping[str, Any]] | None:
    """What is asked for row by row, from which follow the rows: of one seed they are the same."""
    if claim.measure is None or claim.measure.each is None:
        return None
    options = claim.options(level, control=role == "control")
    options.pop(RECORD, None)
    return claim.measure.each, rows_of(claim, role, level), options


def _rows(
    folder: Path,
    claim: Claim,
    role: Role,
    level: Level,
    *,
    seed: int,
    advance: Advance,
    earlier: Sequence[Claim],
) -> list[dict[str, Any]]:
    """The rows; raises whatever the measurement raises."""
    assert claim.measure is not None and claim.control is not None
    count = rows_of(claim, role, level)
    options = claim.options(level, control=role == "control")
    if claim.measure.command is not None:
        command = claim.control.command if role == "control" else claim.measure.command
        assert command is not None
        return _of_command(command, count, seed)
    options.pop(RECORD, None)
    if claim.measure.all is not None:
        if claim.measure.record is not None:
            options[RECORD] = _record(folder, claim, role, level, seed=seed)
        made = load(claim.measure.all, f"{claim.id}: measure.all")(rows=count, seed=seed, **options)
        return [dict(row) for row in made]
    simulated = _same(folder, claim, role, level, earlier=earlier)
    if simulated is None:
        simulated = _each(folder, claim, role, level, seed=seed, advance=advance)
    if claim.measure.of_record is None:
        return simulated
    record = _record(folder, claim, role, level, seed=seed)
    more = load(claim.measure.of_record, f"{claim.id}: measure.of_record")
    rows = [*simulated, *(dict(row) for row in more(record=record, seed=seed))]
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{**dict.fromkeys(columns), **row} for row in rows]


def _same(
    folder: Path, claim: Claim, role: Role, level: Level, *, earlier: Sequence[Claim]
) -> list[dict[str, Any]] | None:
    """The simulated rows that a claim before has asked for in the same words, if there is one."""
    asked = _asked(claim, role, level)
    assert asked is not None
    for other in earlier:
        file = folder / raw_file(other.id, role)
        if file.exists() and asked == _asked(other, role, level):
            return parsed(file.read_text(encoding="utf-8").splitlines())[: asked[1]]
    return None


def _each(
    folder: Path, claim: Claim, role: Role, level: Level, *, seed: int, advance: Advance
) -> list[dict[str, Any]]:
    """Rows that are made one by one, those that are kept already not again."""
    assert claim.measure is not None and claim.measure.each is not None
    count = rows_of(claim, role, level)
    options = claim.options(level, control=role == "control")
    options.pop(RECORD, None)
    part_file = (folder / raw_file(claim.id, role)).with_suffix(".part")
    kept = _kept(part_file)
    tasks = [
        (claim.measure.each, row, seed_of(seed, row), options)
        for row in range(count)
        if row not in kept
    ]
    with part_file.open("a", encoding="utf-8") as part:
        for at, row in spread(_one, tasks):
            number = tasks[at][1]
            kept[number] = row
            part.write(json.dumps([number, row], allow_nan=False) + "\n")
            part.flush()
            advance(len(kept) / count)
    return [kept[row] for row in range(count)]


def _record(folder: Path, claim: Claim, role: Role, level: Level, *, seed: int) -> Path:
    """The record that was played in these words, now or for a claim before."""
    record = folder / record_folder(played_in(claim, role, level, seed))
    if not record.exists():
        assert claim.measure is not None and claim.measure.record is not None
        words = claim.options(level, control=role == "control").get(RECORD, {})
        part = record.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        load(claim.measure.record, "measure.record")(folder=part, seed=seed, **words)
        sync_whole(part)
        part.rename(record)
    return record


def _one(task: tuple[str, int, int, Mapping[str, Any]]) -> dict[str, Any]:
    """One row, in a process of its own."""
    reference, _, seed, options = task
    return dict(load(reference, "measure.each")(seed=seed, **options))


def _kept(part: Path) -> dict[int, dict[str, Any]]:
    """The rows that an interrupted run has left, by number; a torn last line is none."""
    kept: dict[int, dict[str, Any]] = {}
    if part.exists():
        for line in part.read_text(encoding="utf-8").splitlines():
            try:
                number, row = json.loads(line)
            except ValueError:
                continue
            kept[number] = row
    return kept


def _of_command(command: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """The rows that a program prints, a JSON object on each line; raises ValueError."""
    line = [part.replace("{rows}", str(count)).replace("{seed}", str(seed)) for part in command]
    if line[0] == "python":
        line[0] = sys.executable
    run = subprocess.run(
        line, capture_output=True, text=True, check=False, preexec_fn=kill_with_parent
    )
    if run.returncode != 0:
        said = (run.stderr or run.stdout).strip()[-MOST_SAID:]
        raise ValueError(f"{line[0]} ended with {run.returncode}: {said}")
    try:
        return parsed(run.stdout.splitlines())
    except NoRowError as error:
        raise ValueError(f"the output of {line[0]}: {error}") from None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MOST_SAID]

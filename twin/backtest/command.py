"""`python -m twin backtest`: what it takes, judged before anything is imported that forecasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import assignments
from engine.config.assignments import listed, whole
from engine.config.strict import ConfigError, validated
from engine.record import folders
from scenarios.traces.config import TraceFileConfig
from scenarios.traces.files import FileLayout
from scenarios.traces.moments import parse_time

KEYS = ("data", "calendar", "horizons", "test_from", "seed", "output", "workers", "days",
        "population.simultaneous")  # fmt: skip
FILE_KEYS = tuple(f"trace.{name}" for name in TraceFileConfig.model_fields)
"""How traces are to be read: the keys of a run that replays one."""
TRACE_HOURS = (1, 2)
EVENT_HOURS = (1, 2, 24)
MOST_HOURS = 168
TEST_DAYS = 14
"""Of the seasons: days that are forecast in each of four quarters."""


@dataclass(frozen=True, slots=True)
class BacktestArguments:
    """What the command line asks for.  Without `data`: the twin's own seasons."""

    data: Path | None = None
    calendar: Path | None = None
    horizons: tuple[int, ...] = ()
    test_from_s: float | None = None
    seed: int = 1
    output: Path = Path("outputs")
    workers: int | None = None
    days: int = TEST_DAYS
    simultaneous: int | None = None
    layout: FileLayout = FileLayout()  # noqa: RUF009 (frozen)


def read(arguments: Sequence[str]) -> BacktestArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    given = assignments.read(arguments, (*KEYS, *FILE_KEYS), tree=False).own
    for key in ("calendar", "test_from", *FILE_KEYS):
        if key in given and "data" not in given:
            raise ConfigError(f"{key}: goes with data=…; the seasons have their own")
    if "days" in given and "data" in given:
        raise ConfigError("days: is for the seasons; data=… takes test_from=…")
    if "population.simultaneous" in given and "data" in given:
        raise ConfigError("population.simultaneous: is for the seasons; data=… is what it is")
    layout = _layout(given)
    return BacktestArguments(
        data=Path(given["data"]) if "data" in given else None,
        calendar=Path(given["calendar"]) if "calendar" in given else None,
        horizons=_hours(given["horizons"]) if "horizons" in given else (),
        test_from_s=_moment(given["test_from"], layout.zone) if "test_from" in given else None,
        seed=whole("seed", given.get("seed", "1"), 0, 2**63 - 1),
        output=Path(given.get("output", "outputs")),
        workers=whole("workers", given["workers"], 1, 1024) if "workers" in given else None,
        days=whole("days", given.get("days", str(TEST_DAYS)), 2, 60),
        simultaneous=whole("population.simultaneous", given["population.simultaneous"], 1, 10**7)
        if "population.simultaneous" in given
        else None,
        layout=layout,
    )


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Judge everything that is asked for and write the record; returns its folder.

    Raises ConfigError or OutputError.
    """
    options = read(arguments)
    folders.check_writable(options.output)
    if options.data is not None and not options.data.exists():
        raise ConfigError(f"data: {options.data}: there is no such file or folder")
    if options.calendar is not None and not options.calendar.is_file():
        raise ConfigError(f"calendar: {options.calendar}: No such file")

    from twin.backtest import judging

    return judging.run(options, command, render)


def _hours(text: str) -> tuple[int, ...]:
    items = assignments.listed("horizons", text)
    return tuple(sorted(whole("horizons", item, 1, MOST_HOURS) for item in items))


def _layout(given: Mapping[str, str]) -> FileLayout:
    """How the files are to be read; raises ConfigError."""
    raw: dict[str, object] = {}
    for key in FILE_KEYS:
        if key in given:
            several = given[key].startswith("[")
            raw[key.removeprefix("trace.")] = listed(key, given[key]) if several else given[key]
    try:
        return validated(TraceFileConfig, raw).layout
    except ConfigError as error:
        raise ConfigError("\n".join(f"trace.{line}" for line in str(error).splitlines())) from None


def _moment(text: str, zone: str) -> float:
    try:
        return parse_time(text, zone)
    except ValueError:
        raise ConfigError(f'test_from: "{text}" is not an ISO 8601 time') from None

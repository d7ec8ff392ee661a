"""What is claimed: one YAML file a claim, read once into frozen types.

`conf/evidence/` has the claims of the product; a team adds a folder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from engine.config.complaints import close
from engine.config.load import Reference
from engine.config.strict import ConfigError, Strict, validated

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Level = Literal["quick", "full"]
LEVELS: tuple[Level, Level] = ("quick", "full")
Source = Literal["twin", "staging", "production record"]

RECORD = "record"
"""The option that holds the words for a record."""

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class FigureConfig(Strict):
    """One figure of a claim: how it is made of the rows, and what it has to keep."""

    name: Name
    says: Text
    unit: str = ""
    estimator: Literal["mean", "proportion", "ratio", "rate", "quantile"]
    column: Name
    over: Name | None = None
    """The denominator's column, of a ratio or a rate."""
    q: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Which quantile."""
    operator: Literal["<=", ">="]
    limit: float
    smallest_n: Annotated[int, Field(ge=1, le=10_000_000)]

    @model_validator(mode="after")
    def _fits(self) -> FigureConfig:
        if (self.over is None) == (self.estimator in ("ratio", "rate")):
            raise ValueError("over: belongs to estimator: ratio or rate, and to no other")
        if (self.q is None) == (self.estimator == "quantile"):
            raise ValueError("q: belongs to estimator: quantile, and to no other")
        return self


class LevelConfig(Strict):
    """How much is measured at one level: the rows, options of its own, and the minutes it takes."""

    rows: Annotated[int, Field(ge=1, le=100_000)]
    minutes: Annotated[float, Field(gt=0.0, le=600.0)]
    options: dict[str, Any] = Field(default_factory=dict)


class MeasurementConfig(Strict):
    """What makes the rows.

    `each` is called as `each(seed=…, **options)` for each row by itself, with a seed of its own, in
    several processes; `all` as `all(rows=…, seed=…, **options)` for all of them; `command` is a
    program that prints a row as JSON on each line of its standard output, `{rows}` and `{seed}`
    filled in.

    With a `record`, something is played first: it is called as `record(folder=…, seed=…, **words)`,
    the words being `options.record`, and leaves a run record in the folder; `all` then takes that
    folder as `record`.  Claims that ask for a record in the same words get the same one.

    A claim of two worlds has `each` for the simulated one and `of_record` for the other: called as
    `of_record(record=…, seed=…)`, it adds the rows that the record gives.
    """

    each: Reference | None = None
    all: Reference | None = None
    record: Reference | None = None
    of_record: Reference | None = None
    command: tuple[str, ...] | None = None
    of_data: Reference | None = None
    """What makes the rows, as `all`, of recorded traces (option `data`) where there are some."""
    options: dict[str, Any] = Field(default_factory=dict)
    beside: bool = False
    """Whether it may be measured beside other claims though live parts take part: it hardly takes
    any of a core, and whatever is taken from it makes its figures worse and never better."""
    alone: bool = False
    """Whether nothing else may be measured meanwhile: its figures say how fast something is."""

    @model_validator(mode="after")
    def _one_way(self) -> MeasurementConfig:
        if sum(way is not None for way in (self.each, self.all, self.command)) != 1:
            raise ValueError("give one of each, all and command")
        if self.alone and self.beside:
            raise ValueError("alone: contradicts beside; give one of them")
        if self.of_record is not None and (self.each is None or self.record is None):
            raise ValueError("of_record: belongs to a measure with each and record")
        if self.record is not None and self.all is None and self.of_record is None:
            raise ValueError("record: belongs to a measure with all or of_record, which takes it")
        return self


class ControlConfig(Strict):
    """The negative control: what is broken on purpose, as options (or a command) besides."""

    says: Text
    options: dict[str, Any] = Field(default_factory=dict)
    command: tuple[str, ...] | None = None
    rows: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many rows it takes; as many as the measurement where it is not said."""
    misses: tuple[Name, ...] = ()
    """The figures that have to miss their limits, each of them; where none is named, any."""


class ContextConfig(Strict):
    """What the claim speaks of."""

    platform: Text
    load: Text
    versions: Text = "the version that the bundle names"


class Claim(Strict):
    """One claim; `measure` absent: nobody can show it yet, for the reason in `not_shown`."""

    id: Annotated[str, Field(pattern=r"^[1-9]\d?\.[1-9]\d?$")]
    title: Annotated[str, Field(min_length=1, max_length=80)]
    statement: Text
    why: Text
    """The risk if it is wrong."""
    context: ContextConfig
    source: Source
    valid_days: Annotated[int, Field(ge=1, le=3660)]
    required: bool = True
    """Whether one may not go live without it."""
    method: Text
    does_not_say: Text
    figures: tuple[FigureConfig, ...] = ()
    measure: MeasurementConfig | None = None
    quick: LevelConfig | None = None
    full: LevelConfig | None = None
    control: ControlConfig | None = None
    not_shown: str = ""

    @property
    def group(self) -> int:
        """The first figure of the id."""
        return int(self.id.partition(".")[0])

    @property
    def order(self) -> tuple[int, int]:
        """Where it stands among the others."""
        group, _, item = self.id.partition(".")
        return int(group), int(item)

    def measured_on(self, data: Path | None) -> Claim:
        """The claim as it is measured where recorded `data` were given, if it takes them."""
        if data is None or self.measure is None or self.measure.of_data is None:
            return self
        options = {**self.measure.options, "data": str(data)}
        update: dict[str, Any] = {
            "source": "production record",
            "measure": MeasurementConfig(all=self.measure.of_data, options=options),
        }
        for key in LEVELS:  # their options are those of the twin
            update[key] = self.level(key).model_copy(update={"options": {}})
        return self.model_copy(update=update)

    def options(self, level: Level, *, control: bool) -> dict[str, Any]:
        """What the measurement, or its negative control, is called with at that level.

        The level's options go before those of the measure, the control's before both; the words
        for a record are laid over each other in the same way.
        """
        assert self.measure is not None and self.control is not None
        layers = [self.measure.options, self.level(level).options]
        if control:
            layers.append(self.control.options)
        options: dict[str, Any] = {}
        words: dict[str, Any] = {}
        for layer in layers:
            options |= layer
            if self.measure.record is not None:
                words |= layer.get(RECORD, {})
        return options if self.measure.record is None else options | {RECORD: words}

    def level(self, level: Level) -> LevelConfig:
        """What is measured at that level, of a claim that can be measured."""
        chosen = self.quick if level == "quick" else self.full
        assert chosen is not None
        return chosen

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if self.measure is None:
            if not self.not_shown:
                raise ValueError("measure: is missing (or say in not_shown why there is none)")
            return self
        for key in ("quick", "full", "control"):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: is missing")
        self._check_figures()
        self._check_control(self.measure)
        self._check_words(self.measure)
        self._check_rows(self.measure)
        return self

    def _check_figures(self) -> None:
        if not self.figures:
            raise ValueError("figures: is missing; a claim has at least one")
        names = [figure.name for figure in self.figures]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"figures.{name}: is there {names.count(name)} times")

    def _check_control(self, measure: MeasurementConfig) -> None:
        control, names = self.control, [figure.name for figure in self.figures]
        assert control is not None
        if (control.command is not None) != (measure.command is not None):
            raise ValueError("control.command: belongs to a claim whose measure is a command")
        if measure.command is None and not control.options:
            raise ValueError("control.options: is missing; what is broken on purpose?")
        for name in control.misses:
            if name not in names:
                raise ValueError(f'control.misses: "{name}" is not allowed ({", ".join(names)})')

    def _check_words(self, measure: MeasurementConfig) -> None:
        if measure.record is not None:
            for key in ("measure", *LEVELS, "control"):
                if not isinstance(getattr(self, key).options.get(RECORD, {}), Mapping):
                    raise ValueError(
                        f"{key}.options.{RECORD}: has to be a mapping, as {{seconds: 80}}"
                    )

    def _check_rows(self, measure: MeasurementConfig) -> None:
        for figure in self.figures:
            for key in LEVELS:
                rows = self.level(key).rows
                if measure.each and not measure.of_record and rows < figure.smallest_n:
                    raise ValueError(
                        f"{key}.rows: {rows} is not allowed: "
                        f"figures.{figure.name}.smallest_n is {figure.smallest_n}"
                    )


def read(folder: Path | None = None) -> dict[str, tuple[Claim, bytes]]:
    """All claims by id, each with the bytes of its file: the product's, then those in `folder`.

    Raises ConfigError with the file and each wrong key.
    """
    claims: dict[str, tuple[Claim, bytes]] = {}
    places: dict[str, str] = {}
    for place, text in _files(folder):
        claim = parse(text, place)
        if claim.id in claims:
            raise ConfigError(f"{place}: id: {claim.id} is the id of {places[claim.id]} as well")
        claims[claim.id], places[claim.id] = (claim, text), place
    return dict(sorted(claims.items(), key=lambda item: item[1][0].order))


def parse(text: bytes, place: str) -> Claim:
    """The claim in the text of a file; raises ConfigError, a line a wrong key, with `place`."""
    try:
        raw = yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigError(f"{place}: is not YAML: {reason}") from None
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{place}: is no claim; it has to be a mapping with id, statement, …")
    try:
        return validated(Claim, raw)
    except ConfigError as error:
        raise ConfigError(
            "\n".join(f"{place}: {line}" for line in str(error).split("\n"))
        ) from None


def chosen(claims: Mapping[str, Any], ids: Sequence[str]) -> list[str]:
    """The ids asked for, in order, or all; raises ConfigError for one that there is not."""
    for asked in ids:
        if asked not in claims:
            raise ConfigError(
                f"{asked}: no such claim{close(asked, list(claims))} "
                f"(there are {', '.join(claims)})"
            )
    return [name for name in claims if not ids or name in ids]


def _files(folder: Path | None) -> list[tuple[str, bytes]]:
    files = [
        (f"conf/evidence/{file.name}", file.read_bytes())
        for file in sorted(resources.files("conf").joinpath("evidence").iterdir(), key=_name)
        if file.name.endswith(".yaml")
    ]
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"claims: {folder} is no folder")
        files += [(str(file), file.read_bytes()) for file in sorted(folder.glob("*.yaml"))]
    return files


def _name(file: Any) -> str:
    return str(file.name)

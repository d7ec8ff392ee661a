"""Which series the figures are made of, and their newest samples.

A new series is looked at once: whether a selection of the configuration names its metric, whether
its labels are those that it asks for, and of which service it is.  Then it has a place, and each of
its samples is set aside for the next round, whatever else comes in.  A million series that no
figure is made of cost the figures nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.ingest.labels import NAME
from engine.ingest.plain import Labels
from engine.ingest.settings import FigureRule, SamplesConfig, SelectionConfig

BOUND = "le"
"""The label of a histogram's buckets."""
NOWHERE = -1
"""The place of a series that no figure is made of."""


@dataclass(slots=True)
class Members:
    """The series of one selection: place, service and instance of each, and a histogram's bound."""

    places: list[int] = field(default_factory=list)
    services: list[int] = field(default_factory=list)
    instances: list[int] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    """Buckets of one histogram have one number."""

    def arrays(self) -> MemberArrays:
        """As columns."""
        return MemberArrays(
            np.array(self.places, np.int64), np.array(self.services, np.int64),
            np.array(self.instances, np.int64), np.array(self.bounds, np.float64),
            np.array(self.groups, np.int64),
        )  # fmt: skip

    def keep(self, stay: Callable[[int], bool]) -> None:
        """Only those whose place may `stay`."""
        rows = [k for k, place in enumerate(self.places) if stay(place)]
        for name in ("places", "services", "instances", "bounds", "groups"):
            column = getattr(self, name)
            setattr(self, name, [column[k] for k in rows])


@dataclass(frozen=True, slots=True)
class MemberArrays:
    """`Members` as columns, a row a series."""

    places: NDArray[np.int64]
    services: NDArray[np.int64]
    instances: NDArray[np.int64]
    bounds: NDArray[np.float64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of the configuration, ready to be compared with labels."""

    config: SelectionConfig
    tests: tuple[tuple[str, Callable[[str], bool]], ...]
    members: Members

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of its metric is one of its own."""
        return all(test(labels.get(name, "")) for name, test in self.tests)


class SeriesWatch:
    """The selections, and the places of the series that they have."""

    def __init__(self, config: SamplesConfig, services: Sequence[str]) -> None:
        self._config = config
        self._by_label = {config.names.get(name, name): k for k, name in enumerate(services)}
        self._by_metric: dict[str, list[Selection]] = {}
        self._selections: dict[str, Selection] = {}
        self.place_of = np.full(1024, NOWHERE, np.int64)
        """By the number of a series."""
        self.series_at: list[int] = []
        """By place."""
        self.since: list[int] = []
        """By place: the `version` at which its series got it."""
        self._free: list[int] = []
        self.instances: dict[tuple[int, str], int] = {}
        """Service and name of an instance -> its number."""
        self._groups: dict[Labels, int] = {}
        self.version = 0
        """Rises when a series comes or goes."""
        for figure in _figures(config):
            self._select(figure)
            if isinstance(figure, FigureRule) and figure.over is not None:
                self._select(figure.over)

    def selection(self, config: SelectionConfig) -> Selection:
        """The one of a part of the configuration; quantiles of one histogram share it."""
        return self._selections[_key(config)]

    def wanted(self, service: str, rule: FigureRule) -> Callable[[Labels], bool]:
        """Whether a series is one that a figure of a service is made of, or divided by."""
        label = self._config.names.get(service, service)
        rules = [rule] if rule.over is None else [rule, rule.over]
        selections = [(one.metric, self.selection(one)) for one in rules]

        def of_it(labels: Labels) -> bool:
            named = dict(labels)
            return named.get(self._config.label) == label and any(
                named.get(NAME) == metric and own.takes(named) for metric, own in selections
            )

        return of_it

    @property
    def selections(self) -> Iterable[Selection]:
        """All of them."""
        return self._selections.values()

    def wants_buckets(self, name: str) -> bool:
        """Whether a figure is made of the buckets of the histogram `name`."""
        return f"{name}_bucket" in self._by_metric

    def look(self, number: int, labels: Labels) -> None:
        """Look at a new series, `number`."""
        if number >= len(self.place_of):
            grown = np.full(max(2 * len(self.place_of), number + 1), NOWHERE, np.int64)
            grown[: len(self.place_of)] = self.place_of
            self.place_of = grown
        named = dict(labels)
        selections = self._by_metric.get(named[NAME])
        if selections is None:
            return
        service = self._by_label.get(named.get(self._config.label, ""))
        taking = [one for one in selections if service is not None and one.takes(named)]
        if service is None or not taking:
            return
        place = self._free.pop() if self._free else len(self.series_at)
        if place == len(self.series_at):
            self.series_at.append(number)
            self.since.append(0)
        self.series_at[place] = number
        self.place_of[number] = place
        self.version += 1
        self.since[place] = self.version
        instance = (service, named.get(self._config.instance, ""))
        whose = self.instances.setdefault(instance, len(self.instances))
        bound = _bound_of(named.get(BOUND, ""))
        group = self._group(labels)
        for one in taking:
            members = one.members
            members.places.append(place)
            members.services.append(service)
            members.instances.append(whose)
            members.bounds.append(bound)
            members.groups.append(group)

    def forget(self, numbers: NDArray[np.int64]) -> None:
        """Let go of series."""
        numbers = numbers[numbers < len(self.place_of)]
        places = self.place_of[numbers]
        gone = {int(place) for place in places if place != NOWHERE}
        self.place_of[numbers] = NOWHERE
        if not gone:
            return
        self._free.extend(gone)
        self.version += 1
        instances: set[int] = set()
        groups: set[int] = set()
        for one in self._selections.values():
            one.members.keep(lambda place: place not in gone)
            instances.update(one.members.instances)
            groups.update(one.members.groups)
        self._renumber(instances, groups)

    def _renumber(self, instances: set[int], groups: set[int]) -> None:
        """Number what is left anew, so that what is gone does not pile up."""
        new = {old: k for k, old in enumerate(sorted(instances))}
        self.instances = {key: new[old] for key, old in self.instances.items() if old in new}
        kept = {old: k for k, old in enumerate(sorted(groups))}
        self._groups = {key: kept[old] for key, old in self._groups.items() if old in kept}
        for one in self._selections.values():
            members = one.members
            members.instances = [new[old] for old in members.instances]
            members.groups = [kept[old] for old in members.groups]

    def _group(self, labels: Labels) -> int:
        rest = tuple(pair for pair in labels if pair[0] != BOUND)
        return self._groups.setdefault(rest, len(self._groups))

    def _select(self, config: SelectionConfig) -> None:
        if _key(config) in self._selections:
            return
        tests = tuple((name, _test(wanted)) for name, wanted in config.where.items())
        one = Selection(config, tests, Members())
        self._selections[_key(config)] = one
        self._by_metric.setdefault(config.metric, []).append(one)


def _figures(config: SamplesConfig) -> Iterable[SelectionConfig]:
    yield from config.figures.values()
    yield from config.totals.values()
    for one in (config.scraped, config.first_served):
        if one is not None:
            yield one


def _key(config: SelectionConfig) -> str:
    return repr((config.metric, sorted(config.where.items())))


def _test(wanted: str) -> Callable[[str], bool]:
    if wanted.startswith(("=~", "!~")):
        pattern, means = re.compile(wanted[2:]), wanted[0] == "="
        return lambda value: (pattern.fullmatch(value) is not None) is means
    if wanted.startswith("!="):
        return lambda value: value != wanted[2:]
    return lambda value: value == wanted


def _bound_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

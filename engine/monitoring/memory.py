"""What the monitor remembers between looks: frozen, bounded for ever, and strict JSON outside.

All that detectors remember are arrays with a row for each service, so a memory can be taken over by
a monitor that watches other services: those that both know keep their rows.  Times are stored as
ages, NaN as null, as the engine's own memory has them (`engine.memory`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from engine.model import FloatArray
from engine.monitoring.baseline import Usual
from engine.monitoring.findings import Cause, CauseKind, Finding, FindingKind, Severity, Symptom
from engine.monitoring.picture import COUNTS_KEPT, Arrays

VERSION = 2
NEVER = -math.inf


class Lasting(NamedTuple):
    """A finding, and when a symptom of it was last seen."""

    finding: Finding
    seen_s: float


class MonitorMemory(NamedTuple):
    """Everything that the next look depends on besides what it sees.

    `counts` is (services, looks, 2): how many were ready and desired at the last looks, newest
    last, NaN before; `looked_s` (looks,) when those were.  `sampled_s` (services,) is the time of
    the newest sample of each, `bands` (services, `glance.COLUMNS`) what a glance lets pass,
    `learned_s` for how long the monitor has been looking.
    """

    last_s: float
    learned_s: float
    usual: Usual
    counts: FloatArray
    looked_s: FloatArray
    sampled_s: FloatArray
    bands: FloatArray
    detectors: Mapping[str, Arrays]
    lasting: Mapping[str, Lasting] = {}
    findings: int = 0
    """How many there were, for their ids."""

    @classmethod
    def begin(cls, services: int, columns: int, detectors: Mapping[str, Arrays]) -> MonitorMemory:
        """Before the first look; `columns` are those of the bands."""
        return cls(
            last_s=NEVER,
            learned_s=0.0,
            usual=Usual.begin(services),
            counts=np.full((services, COUNTS_KEPT, 2), np.nan),
            looked_s=np.full(COUNTS_KEPT, -np.inf),
            sampled_s=np.full(services, -np.inf),
            bands=np.full((services, columns), np.nan),
            detectors=detectors,
        )

    def turned_back(self, by_s: float) -> MonitorMemory:
        """The same for a clock that was set back by so much."""
        return self._replace(
            last_s=self.last_s - by_s,
            looked_s=self.looked_s - by_s,
            sampled_s=self.sampled_s - by_s,
            lasting={
                key: Lasting(_earlier(own.finding, by_s), own.seen_s - by_s)
                for key, own in self.lasting.items()
            },
        )


def to_json(memory: MonitorMemory, services: Sequence[str]) -> str:
    """The memory as strict JSON: ages in seconds, null for what is not there."""
    now_s = memory.last_s if math.isfinite(memory.last_s) else 0.0

    def age(time_s: float) -> float | None:
        return now_s - time_s if math.isfinite(time_s) else None

    document = {
        "version": VERSION,
        "last_s": memory.last_s if math.isfinite(memory.last_s) else None,
        "learned_s": memory.learned_s,
        "findings": memory.findings,
        "services": list(services),
        "usual": {name: _plain(array) for name, array in memory.usual._asdict().items()},
        "counts": _plain(memory.counts),
        "looked_s": [age(time_s) for time_s in memory.looked_s.tolist()],
        "sampled_s": [age(time_s) for time_s in memory.sampled_s.tolist()],
        "bands": _plain(memory.bands),
        "detectors": {
            name: {key: _plain(array) for key, array in arrays.items()}
            for name, arrays in memory.detectors.items()
        },
        "lasting": {
            key: {"seen_s": age(own.seen_s), "finding": _finding_document(own.finding, now_s)}
            for key, own in memory.lasting.items()
        },
    }
    return json.dumps(document, sort_keys=True, allow_nan=False)


def from_json(text: str, services: Sequence[str], empty: MonitorMemory) -> MonitorMemory:
    """Read what `to_json` wrote, for these `services`; raises ValueError for any other text.

    `empty` is the memory before the first look.  What it says of services or detectors that are not
    there is left out; for new ones it begins anew.
    """
    try:
        document = json.loads(text)
        version = document["version"]
        if version != VERSION:
            raise ValueError(f"monitor memory: version {version!r} is not known ({VERSION})")
        memory = _memory(document, services, empty)
        to_json(memory, services)  # what could not be kept again was never kept
        return memory
    except (
        KeyError, TypeError, AttributeError, OverflowError, IndexError, RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(f"monitor memory: not a snapshot of this monitor ({error!r})") from error


def _memory(
    document: Mapping[str, Any], services: Sequence[str], empty: MonitorMemory
) -> MonitorMemory:
    last_s = document["last_s"]
    now_s = 0.0 if last_s is None else float(last_s)
    stored = [str(name) for name in document["services"]]
    rows = [(i, stored.index(name)) for i, name in enumerate(services) if name in stored]

    def array(raw: Any, template: FloatArray, key: str) -> FloatArray:
        given = np.array(raw, dtype=np.float64)
        if given.shape != (len(stored), *template.shape[1:]):
            raise ValueError(f"monitor memory: {key}: has shape {given.shape}")
        filled = template.copy()
        for mine, theirs in rows:
            filled[mine] = given[theirs]
        return filled

    def time(age_s: float | None) -> float:
        return NEVER if age_s is None else now_s - float(age_s)

    looked_s = np.array([time(age_s) for age_s in document["looked_s"]])
    if looked_s.shape != empty.looked_s.shape:
        raise ValueError(f"monitor memory: looked_s: has shape {looked_s.shape}")
    usual = {
        name: array(document["usual"][name], template, f"usual.{name}")
        for name, template in empty.usual._asdict().items()
    }
    bands = empty.bands  # of another width they are of before: the next look makes them anew
    if all(len(row) == bands.shape[1] for row in document["bands"]):
        bands = array(document["bands"], empty.bands, "bands")
    detectors = {}
    for name, arrays in empty.detectors.items():
        own = document["detectors"].get(name)
        detectors[name] = (
            arrays
            if own is None or set(own) != set(arrays)  # another detector has its name now
            else {
                key: array(own[key], template, f"detectors.{name}.{key}")
                for key, template in arrays.items()
            }
        )
    sampled = [[time(age_s)] for age_s in document["sampled_s"]]
    lasting = {
        str(key): Lasting(_finding(raw["finding"], now_s), time(raw["seen_s"]))
        for key, raw in document["lasting"].items()
    }
    # In the order in which they began, as they were before; JSON has them by name.
    lasting = dict(
        sorted(lasting.items(), key=lambda item: int(item[1].finding.id.rpartition("-")[2]))
    )
    return MonitorMemory(
        last_s=NEVER if last_s is None else now_s,
        learned_s=float(document["learned_s"]),
        usual=Usual(**usual),
        counts=array(document["counts"], empty.counts, "counts"),
        looked_s=looked_s,
        sampled_s=array(sampled, empty.sampled_s[:, None], "sampled_s")[:, 0],
        bands=bands,
        detectors=detectors,
        lasting={key: own for key, own in lasting.items() if own.finding.service in set(services)},
        findings=int(document["findings"]),
    )


def _plain(array: FloatArray) -> Any:
    """Nested lists; null for NaN."""
    if array.ndim > 1:
        return [_plain(part) for part in array]
    return [None if math.isnan(value) else value for value in array.tolist()]


def _earlier(finding: Finding, by_s: float) -> Finding:
    return replace(
        finding,
        since_s=finding.since_s - by_s,
        noticed_s=finding.noticed_s - by_s,
        symptom=replace(finding.symptom, since_s=finding.symptom.since_s - by_s),
    )


def _number(value: float) -> float | str:
    """JSON knows neither NaN nor infinity; `float` reads both from text."""
    return value if math.isfinite(value) else str(value)


def _finding_document(finding: Finding, now_s: float) -> dict[str, Any]:
    symptom = finding.symptom
    return {
        "id": finding.id,
        "service": finding.service,
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "since_s": _number(now_s - finding.since_s),
        "noticed_s": _number(now_s - finding.noticed_s),
        "weddings": _number(finding.weddings),
        "guests": _number(finding.guests),
        "recommendation": finding.recommendation,
        "causes": [
            [cause.service, cause.kind.value, cause.weight, cause.words] for cause in finding.causes
        ],
        "symptom": {
            "severity": symptom.severity.value,
            "watcher": symptom.watcher,
            "figure": symptom.figure,
            "words": symptom.words,
            "since_s": _number(now_s - symptom.since_s),
            **{
                name: _number(getattr(symptom, name))
                for name in ("value", "confidence", "limit", "low", "high")
            },
        },
    }


def _finding(raw: Mapping[str, Any], now_s: float) -> Finding:
    symptom = raw["symptom"]
    service, kind = str(raw["service"]), FindingKind(raw["kind"])
    return Finding(
        id=str(raw["id"]),
        service=service,
        kind=kind,
        severity=Severity(raw["severity"]),
        symptom=Symptom(
            service=service,
            kind=kind,
            severity=Severity(symptom["severity"]),
            watcher=str(symptom["watcher"]),
            figure=str(symptom["figure"]),
            value=float(symptom["value"]),
            since_s=now_s - float(symptom["since_s"]),
            confidence=float(symptom["confidence"]),
            limit=float(symptom["limit"]),
            low=float(symptom["low"]),
            high=float(symptom["high"]),
            words=str(symptom["words"]),
        ),
        since_s=now_s - float(raw["since_s"]),
        noticed_s=now_s - float(raw["noticed_s"]),
        weddings=float(raw["weddings"]),
        guests=float(raw["guests"]),
        causes=tuple(
            Cause(str(service), CauseKind(kind), float(weight), str(words))
            for service, kind, weight, words in raw["causes"]
        ),
        recommendation=str(raw["recommendation"]),
    )

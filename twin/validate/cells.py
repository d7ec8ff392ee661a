"""What is measured to be compared: loads that the calibration has not seen, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.model import FloatArray
from twin.measure.bench import Bench
from twin.measure.settings import MeasureConfig

CALM, HIGH, CROWD, KILLED = 0.4, 0.8, 1.3, 0.6
"""Shares of the knee: before and after a step, in a flash crowd, while an instance is killed."""

AT_SHARE = 0.35
"""When, as a share of the cell's length, the event happens."""

CROWD_S = 15


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One kind of load: requests/s by service and second, and what is done meanwhile.

    `within_s` is the first second that counts, `events` says what happens when.
    """

    name: str
    level: float
    rates: Mapping[str, FloatArray]
    within_s: int
    acts: Callable[[Bench], Mapping[int, Callable[[], None]]]
    kills: Mapping[str, int] = field(default_factory=dict)
    """By service, the second at which an instance of it is killed."""

    @property
    def steady(self) -> bool:
        """Whether nothing happens in it."""
        return self.name.startswith("level")


def cells(config: MeasureConfig, knee: float) -> tuple[Cell, ...]:
    """All cells of a validation, for a knee at `knee` times the mix."""
    wanted, loads = config.validation, []
    for level in wanted.levels:
        seconds = config.warmup_s + wanted.seconds
        shape = np.full(seconds, level)
        loads.append(
            _cell(config, knee, f"level {level:.0%}", level, shape=shape, within_s=config.warmup_s)
        )
    length = wanted.event_seconds
    at_s = round(AT_SHARE * length)
    for event in wanted.events:
        shape = np.full(length, CALM)
        match event:
            case "step":
                shape[at_s:] = HIGH
                loads.append(
                    _cell(
                        config, knee, "step", HIGH, shape=shape, within_s=0, acts=_scale_out(at_s)
                    )
                )
            case "flash_crowd":
                shape[at_s : at_s + CROWD_S] = CROWD
                loads.append(_cell(config, knee, "flash crowd", CROWD, shape=shape, within_s=0))
            case "instance_kill":
                victim = max(config.mix, key=lambda name: config.counts[name])
                shape[:] = KILLED
                loads.append(
                    _cell(
                        config, knee, "instance kill", KILLED, shape=shape, within_s=0,
                        acts=_kill(victim, at_s), kills={victim: at_s},
                    )
                )  # fmt: skip
    return tuple(loads)


def _cell(
    config: MeasureConfig,
    knee: float,
    name: str,
    level: float,
    *,
    shape: FloatArray,
    within_s: int,
    acts: Callable[[Bench], Mapping[int, Callable[[], None]]] = lambda _: {},
    kills: Mapping[str, int] | None = None,
) -> Cell:
    rates = {service: knee * share * shape for service, share in config.mix.items()}
    return Cell(name, level, rates, within_s, acts, kills or {})


def _scale_out(at_s: int) -> Callable[[Bench], Mapping[int, Callable[[], None]]]:
    """One more instance of each service a moment after the load has risen."""

    def acts(standing: Bench) -> Mapping[int, Callable[[], None]]:
        def more() -> None:
            seen = standing.pool.observe().services
            standing.ask({name: count.desired + 1 for name, count in seen.items()})

        return {at_s + 3: more}

    return acts


def _kill(service: str, at_s: int) -> Callable[[Bench], Mapping[int, Callable[[], None]]]:
    def acts(standing: Bench) -> Mapping[int, Callable[[], None]]:
        return {at_s: lambda: standing.kill_one(service)}

    return acts

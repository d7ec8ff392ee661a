"""Knative's pod autoscaler, algorithm only: from concurrency to a pod count.

Written from Knative's documentation ("Autoscaling", "Configuring the stable window and panic mode")
and the description of its defaults.  Two averages of the total concurrency are looked at: that of
the stable window, and that of the panic window, a tenth as long.  When the latter asks for at least
`panic_threshold` times what is ready, panic begins: the count only grows until a stable window has
passed without such a moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class KpaSettings:
    """`target`: concurrency that one pod is to have, utilisation included; rates are factors."""

    target: float
    max_up: float = 1000.0
    max_down: float = 2.0
    panic_threshold: float = 2.0
    stable_window_s: float = 60.0
    scale_down_delay_s: float = 0.0
    activation_scale: int = 0
    reachable: bool = True


@dataclass(slots=True)
class KpaMemory:
    """`panic_s`: when there was last a reason to panic, None in peace; `recent` for the delay."""

    panic_s: float | None = None
    panic_pods: int = 0
    recent: list[tuple[float, int]] = field(default_factory=list)

    @classmethod
    def at_start(cls, ready: int, now_s: float) -> KpaMemory:
        """After a restart: with several pods there is nothing to rely on, so it begins in panic."""
        return cls(now_s, ready) if ready > 1 else cls()


def scale(
    ready: int,
    stable: float,
    panic: float,
    memory: KpaMemory,
    *,
    settings: KpaSettings,
    now_s: float,
) -> int:
    """The count wanted at `now_s`; `stable` and `panic` are total concurrencies."""
    pods = max(ready, 1)
    most = min(math.ceil(settings.max_up * pods), MOST)
    least = math.floor(pods / settings.max_down) if settings.reachable else 0
    by_stable = math.ceil(stable / settings.target)
    by_panic = math.ceil(panic / settings.target)
    panics = by_panic / pods >= settings.panic_threshold
    by_stable = min(max(by_stable, least), most)
    by_panic = min(max(by_panic, least), most)
    if settings.activation_scale > 1:
        if 0 < by_stable < settings.activation_scale:
            by_stable = settings.activation_scale
        if 0 < by_panic < settings.activation_scale:
            by_panic = settings.activation_scale
    if panics:
        if memory.panic_s is None:
            memory.panic_pods = 0
        memory.panic_s = now_s
    elif memory.panic_s is not None and memory.panic_s + settings.stable_window_s < now_s:
        memory.panic_s = None
        memory.panic_pods = 0
    desired = by_stable
    if memory.panic_s is not None:
        memory.panic_pods = max(memory.panic_pods, by_stable, by_panic)
        desired = memory.panic_pods
    if settings.scale_down_delay_s > 0.0 and settings.reachable:
        memory.recent.append((now_s, desired))
        memory.recent = [
            (at_s, count)
            for at_s, count in memory.recent
            if at_s > now_s - settings.scale_down_delay_s
        ]
        desired = max(count for _, count in memory.recent)
    return desired

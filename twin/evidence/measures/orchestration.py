"""Rows that are orders to the worker pool of the staging stack: each given, repeated, and replayed.

The stack is real: HAProxy, PostgreSQL, Redis, Prometheus and worker processes on this machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.adapters.pool.haproxy import HaproxyPool
from engine.config.composition import composed
from engine.config.strict import validated
from engine.model import Action, Category, Reason, Rollback, Status, WeddingContext
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from scenarios.streams import Streams
from twin.staging import stack
from twin.staging.layout import Layout
from twin.staging.settings import StagingConfig
from twin.staging.worker_environment import WORKER

OLD, LEADING = Fence(1), Fence(2)
MOST_MORE = 2
"""At most so many instances above the minimum of a service."""
PATIENCE_S = 120.0
"""An order that has not been carried out by then never will be."""
LOOK_S = 0.1
STILL_S = 0.6
"""The pool looks at its book several times in it; what an order does has begun by then."""


def orders(
    *,
    rows: int,
    seed: int,
    overrides: Sequence[str] = (),
    fenced: bool = True,
) -> list[dict[str, Any]]:
    """A stack that is brought up for it, and `rows` orders for drawn services and counts.

    Columns: `late`, 1 where an order was not carried out within `PATIENCE_S`, and `took_s`, how
    long it took to what was ordered being ready; `again`, 1 where the same order, given once more
    after another had followed it, changed anything; `obeyed`, 1 where an order of the engine that
    led before was accepted or changed anything.  With `fenced` false the old engine's orders come
    under the fence of the one that leads.

    Raises StackError where the stack cannot be brought up.
    """
    stream = Streams(seed)("evidence.orders")
    with tempfile.TemporaryDirectory(prefix="wt-", dir="/tmp") as folder:
        place = Path(folder) / "stack"
        place.parent.chmod(0o755)  # PostgreSQL's own user has to enter it
        config = validated(
            StagingConfig, composed([*overrides, f"folder={place}", f"seed={seed}"], root="staging")
        )
        with stack.held_up(config.wish()) as made:
            pool = HaproxyPool(Layout(place), WORKER)
            try:
                limits = {
                    name: service.spec.min_instances for name, service in made.services.items()
                }
                names = sorted(limits)
                return [
                    _order(
                        pool, number, name, limits[name] + int(stream.integers(MOST_MORE + 1)),
                        least=limits[name], old=OLD if fenced else LEADING,
                    )
                    for number, name in enumerate(
                        names[int(stream.integers(len(names)))] for _ in range(rows)
                    )
                ]  # fmt: skip
            finally:
                pool.close()


def _order(
    pool: HaproxyPool, number: int, service: str, wanted: int, *, least: int, old: Fence
) -> dict[str, Any]:
    """One order to `wanted`, or to one more where that is what there is; repeated and replayed."""
    before = _counts(pool, service).desired
    after = wanted if wanted != before else before + (1 if before == least else -1)
    first = _action(f"order-{number}", service, before, after)
    began = time.monotonic()
    pool.apply([first], LEADING)
    done = _until(pool, service, after)
    took_s = time.monotonic() - began
    # Another order follows, so that whoever carries out the first one again goes to its count.
    other = after + (1 if after == least else -1)
    pool.apply([_action(f"order-{number}-then", service, after, other)], LEADING)
    pool.apply([first], LEADING)
    again = _moved(pool, service, other)
    (answer,) = pool.apply([_action(f"order-{number}-old", service, other, after)], old)
    obeyed = answer.status is not Status.FAILED or _moved(pool, service, other)
    return {
        "service": service,
        "from": before,
        "to": after,
        "took_s": took_s,
        "late": int(not done),
        "again": int(again),
        "obeyed": int(obeyed),
    }


def _until(pool: HaproxyPool, service: str, count: int) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if _counts(pool, service) == Counts(count, count, 0, 0):
            return True
        time.sleep(LOOK_S)
    return False


def _moved(pool: HaproxyPool, service: str, count: int) -> bool:
    """Whether another count than `count` is desired within a moment."""
    end = time.monotonic() + STILL_S
    while time.monotonic() < end:
        if _counts(pool, service).desired != count:
            return True
        time.sleep(LOOK_S)
    return False


def _counts(pool: HaproxyPool, service: str) -> Counts:
    return pool.observe().services[service]


def _action(decision_id: str, service: str, before: int, after: int) -> Action:
    return Action(
        decision_id, service, before, after, Reason.MANUAL, Category.AUTOMATIC, 1.0, 0.0,
        Rollback(before), WeddingContext(), {}, 0.0, 0.0, "",
    )  # fmt: skip

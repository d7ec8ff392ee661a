"""Every kind of fault by its name, and one of them from a configuration.

The built-in kinds are the classes of the modules in `scenarios/faults/kinds/`: a new kind is a new
file there.  One of somebody's own is named as `module:Class`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SerializeAsAny, ValidationError, WrapValidator

from engine.config.complaints import WrongKeysError, lines
from engine.config.load import load
from engine.config.strict import ConfigError
from scenarios.faults import kinds as files
from scenarios.faults.base import Fault
from scenarios.faults.kinds.flash_crowd import FlashCrowd, with_crowds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scenarios.weddings.demand import Demand

_FIRST = (
    "flash_crowd", "slow_service", "cache_flush", "zone_loss", "slow_instance", "slow_zone",
    "spot_reclaim", "slow_boot", "heavy_boots", "never_ready", "crash_loop", "capacity_shortage",
    "api_errors", "api_timeout", "commands_lost", "commands_duplicated", "metrics_blackout",
    "scrape_lag", "sample_loss", "sample_nan", "sample_duplicates", "sample_reorder", "unit_spike",
    "engine_kill", "two_leaders", "clock_step", "schedule_stale", "schedule_late",
    "schedule_wrong",
)  # fmt: skip
"""The order in which random worlds have drawn these kinds; later ones follow by their names."""


def _built_in() -> Iterator[tuple[str, type[Fault]]]:
    for module in pkgutil.iter_modules(files.__path__):
        content = importlib.import_module(f"{files.__name__}.{module.name}")
        yield module.name, content.KIND


def _drawn_in_order(kind: tuple[str, type[Fault]]) -> tuple[int, str]:
    name = kind[0]
    return _FIRST.index(name) if name in _FIRST else len(_FIRST), name


KINDS: Mapping[str, type[Fault]] = dict(sorted(_built_in(), key=_drawn_in_order))
"""Every built-in kind by its name, which is its file's."""


def _class_named(reference: str) -> type[Fault]:
    try:
        own = load(reference, "kind")
    except ConfigError as error:
        raise WrongKeysError([str(error)]) from None
    if not (isinstance(own, type) and issubclass(own, Fault)):
        raise WrongKeysError([f"kind: {reference} is no class made of scenarios.faults.base.Fault"])
    if inspect.isabstract(own):
        missing = ", ".join(sorted(own.__abstractmethods__))
        raise WrongKeysError([f"kind: {reference} has no {missing}"])
    return own


def _of_any_kind(raw: Any, built_in: Callable[[Any], Any]) -> Any:
    """A built-in kind as its type says; one of somebody's own as its class says."""
    kind = raw.get("kind") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str) or ":" not in kind:
        return raw if isinstance(raw, Fault) else built_in(raw)
    own = _class_named(kind)
    try:
        return own.model_validate(raw)
    except ValidationError as error:
        raise WrongKeysError(lines(error, own)) from None


if TYPE_CHECKING:
    AnyFault = Fault
else:
    AnyFault = Annotated[
        functools.reduce(operator.or_, KINDS.values()),
        Field(discriminator="kind"),
        WrapValidator(_of_any_kind),
        SerializeAsAny(),
    ]
    """A fault of any kind: a field of this type is validated as the class of its `kind`."""


def apply_to_demand(demand: Demand, faults: Iterable[Fault]) -> Demand:
    """`demand` with every flash crowd in it; other faults leave it as it is.

    Raises ValueError where a flash crowd names a service at which no user enters.
    """
    return with_crowds(demand, [fault for fault in faults if isinstance(fault, FlashCrowd)])

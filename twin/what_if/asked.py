"""What if, for the engine's API: the engine imports nothing of this (`api.what_if.factory`).

Both branches, as planned and with the change, are whole runs of the twin at its fluid resolution,
with the same draws: what differs between them comes from the change.  They are played at once, in
two processes, where there are two cores.  The plan of a moment is kept for the next question about
the same moment.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

import yaml

from engine.api.what_if import Moment, TriedChange
from engine.config import composition
from engine.config.complaints import close
from twin.config import parse
from twin.what_if import branch
from twin.what_if.second import SecondProcess, cores
from twin.world.world import load_kernels

OURS = (
    "seed", "platform", "demand", "engine", "controller", "telemetry", "approval", "budget",
)  # fmt: skip
"""Of the live run's own configuration, what a branch has from there."""


def connect(**own: Any) -> TriedAhead:
    """What answers for a live run whose own sections are `own`.  Raises ConfigError."""
    tree = {**_composed(), **{key: own[key] for key in OURS if key in own}}
    if "factory" not in own.get("infrastructure", {"factory": ""}):  # else it is a real one
        tree["infrastructure"] = own["infrastructure"]
    interval_s = tree["engine"]["sample_s"]
    tree["telemetry"] = {**tree["telemetry"], "interval_s": round(interval_s)}
    return TriedAhead(tree, at_once=cores() > 1)


class TriedAhead:
    """`engine.api.what_if.WhatIf`, in the twin."""

    def __init__(self, tree: Mapping[str, Any], *, at_once: bool = False) -> None:
        self._tree = {
            **tree, "resolution": "fluid", "faults": {}, "thresholds": {}, "trace": None,
            "monitor": {"enabled": False}, "replications": 1,
        }  # fmt: skip
        self._config = parse(self._tree)
        self._second = SecondProcess(functools.partial(_warm_up, self._tree)) if at_once else None
        if self._second is not None:
            self._second.begin()
        load_kernels(self._config)
        self._newest_plan: tuple[bytes, dict[str, Any]] = b"", {}

    def choices(self) -> Mapping[str, Any]:
        """Zones of the platform, and controllers that need nothing that is not known here."""
        present = self._config.controller.name
        others = [name for name in controllers() if name != present]
        return {"zones": list(self._config.platform.zones), "controllers": [present, *others]}

    def tried(self, moment: Moment, change: TriedChange, for_s: float) -> Mapping[str, Any]:
        """The hours to come, as planned and with the change; raises ValueError naming a field."""
        self._check(moment, change)
        interval_s = self._config.telemetry.interval_s
        duration_s = max(round(for_s / branch.STEP_S), 1) * branch.STEP_S
        duration_s -= duration_s % interval_s
        plan, changed = self._played(moment, change, duration_s)
        return {
            "as_of_s": moment.time_s,
            "for_s": float(duration_s),
            "after_s": change.after_s,
            "covered_until_s": moment.outlook.end_s,
            "plan": plan,
            "changed": changed,
        }

    def close(self) -> None:
        """End the other process."""
        if self._second is not None:
            self._second.close()

    def _played(
        self, moment: Moment, change: TriedChange, duration_s: int
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Both branches; the plan is the last one if it was of the same moment and as long."""
        key = hashlib.sha256(pickle.dumps((moment, duration_s))).digest()
        kept, plan = self._newest_plan
        plain, coming, changed = TriedChange(), None, None
        if kept != key and self._second is not None and not change.is_none:
            coming = self._second.play(played, self._tree, moment, plain, duration_s)
        if not change.is_none:
            changed = played(self._tree, moment, change, duration_s)
        if coming is not None:
            plan = coming.result()
        elif kept != key:
            plan = played(self._tree, moment, plain, duration_s)
        self._newest_plan = key, plan
        return plan, changed

    def _check(self, moment: Moment, change: TriedChange) -> None:
        services, zones = list(moment.services), list(self._config.platform.zones)
        for field, given, allowed in (
            ("zone", change.zone, zones),
            ("controller", change.controller, self.choices()["controllers"]),
            ("load.service", change.load_service, services),
            ("floor.service", change.floor_service, services),
            ("pause.service", change.pause_service or "", services),
        ):
            if given and given not in allowed:
                raise ValueError(
                    f'{field}: "{given}" is not allowed ({", ".join(allowed)})'
                    f"{close(given, allowed)}"
                )


def played(
    tree: Mapping[str, Any], moment: Moment, change: TriedChange, duration_s: int
) -> dict[str, Any]:
    """One branch of a platform whose sections are `tree`."""
    own = branch.config_of(tree, moment, change, list(tree["platform"]["zones"]))
    if change.controller and change.controller != tree["controller"]["name"]:
        own["controller"] = controllers()[change.controller]
        moment = replace(moment, memory="")
    return branch.run(parse(own), moment, change, duration_s)


def _warm_up(tree: Mapping[str, Any]) -> None:
    load_kernels(parse(tree))


@functools.cache
def _composed() -> dict[str, Any]:
    return composition.composed([], root="twin")


@functools.cache
def controllers() -> dict[str, Any]:
    """The packaged controllers that need neither foresight nor history, by name."""
    usable = {}
    for file in (resources.files("conf") / "controller").iterdir():
        if file.name.endswith(".yaml"):
            section = yaml.safe_load(file.read_text(encoding="utf-8"))
            if not section.get("foresight") and not section.get("history"):
                usable[str(section["name"])] = section
    return dict(sorted(usable.items()))

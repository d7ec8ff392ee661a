"""The counts that a platform really had, asked for again at the same times.

So the twin can be held against what was measured without anybody's decisions in between, and
`twin compare` shows what was really done beside what others would have done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers.stateless import Stateless
from engine.model import FloatArray, Observation, Reason, ServiceObservation
from engine.settings import EngineSettings


class AsMeasuredOptions(Strict):
    """`path`: CSV with a column `time` (epoch seconds, when a step begins), and one a service."""

    path: str = Field(min_length=1)


class AsMeasured(Stateless):
    """Asks for what stood at that time; where that was not measured the count stays."""

    reason = Reason.MANUAL

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        super().__init__(settings)
        config = validated(AsMeasuredOptions, options, "controller.options")
        self._times_s, self._counts = _read(Path(config.path))

    def target(self, service: ServiceObservation, observation: Observation) -> int:
        """The count of the step that it is in now."""
        column = self._counts.get(service.spec.name)
        step = int(np.searchsorted(self._times_s, observation.now_s, side="right")) - 1
        if column is None or not 0 <= step < len(column) or not np.isfinite(column[step]):
            return service.desired
        spec = service.spec
        return min(max(round(float(column[step])), spec.min_instances), spec.max_instances)


def _read(path: Path) -> tuple[FloatArray, dict[str, FloatArray]]:
    try:
        with path.open(encoding="utf-8") as lines:
            names = next(lines).rstrip("\n").split(",")
            rows = np.genfromtxt(lines, delimiter=",", ndmin=2)
        if names[:1] != ["time"] or rows.shape[1] != len(names) or np.isnan(rows[:, 0]).any():
            raise ValueError("it needs a column time, and one a service")
    except (OSError, ValueError, StopIteration) as error:
        raise ValueError(f"controller.options.path: {path}: {error}") from None
    return rows[:, 0], {name: rows[:, at] for at, name in enumerate(names) if at}

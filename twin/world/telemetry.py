"""What the controller gets to see of the platform: samples as a scrape really delivers them.

A sample is taken each 5 s, becomes visible some seconds later, and now and then is lost, arrives
twice or with a figure missing.  All of this is drawn before the run, one stream a service, so a
controller cannot change what the next one will see by looking more often.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.model import SAMPLE_DTYPE, SAMPLE_FIELDS, FloatArray
from scenarios.streams import Streams
from twin.config import TelemetryConfig

WINDOW = 60
"""Samples in the window that a controller is shown: five minutes."""
BLOCK = 16 * WINDOW
"""So many are kept in one piece; what no window can show any more goes with its block."""

Lens = Callable[[FloatArray], bool]
"""Changes a sample (fields,) in place, as the controller will see it; False: it never will."""


class Telemetry:
    """The samples of one service on their way to the controller.

    `metrics` is the platform's own record, shape (samples, fields), filled as the run goes on; a
    sample is copied out of it only when its delivery time has come.
    """

    def __init__(
        self, name: str, config: TelemetryConfig, metrics: FloatArray, streams: Streams
    ) -> None:
        self.sampled_s = config.interval_s * np.arange(1.0, len(metrics) + 1.0)
        self.draw(config, streams(f"telemetry.{name}"))
        self._dark: list[tuple[float, float]] = []
        self._lenses: dict[int, list[Lens]] = {}
        self._metrics = metrics
        self._begin_block(np.empty((0, len(SAMPLE_FIELDS))))
        self._queue: list[tuple[float, int]] = []
        self._next = 0

    def draw(self, config: TelemetryConfig, rng: np.random.Generator) -> None:
        """Draw which samples are late, lost, there twice or without a figure, as is usual.

        Like all that follows up to `start`, to be called before the run.
        """
        samples = len(self.sampled_s)
        lag_s = config.lag_s * np.exp(config.lag_sigma * rng.standard_normal(samples))
        lost = rng.random(samples) < config.loss
        twice = np.nonzero(rng.random(samples) < config.duplicate)[0]
        self._holed = rng.random(samples) < config.nan
        self._hole = rng.integers(1, len(SAMPLE_FIELDS), samples)
        self.delivered_s: FloatArray = np.where(lost, np.inf, self.sampled_s + lag_s)
        self._again: list[int] = twice.tolist()

    def black_out(self, begin_s: float, end_s: float, late_s: float) -> int:
        """Hold back what is due in [begin_s, end_s) and deliver it up to `late_s` after the end.

        Returns the number of samples concerned.
        """
        due = (self.delivered_s >= begin_s) & (self.delivered_s < end_s)
        share = (self.delivered_s[due] - begin_s) / max(end_s - begin_s, 1.0)
        self.delivered_s[due] = end_s + share * late_s
        self._dark.append((begin_s, end_s))
        return int(np.count_nonzero(due))

    def delay(self, chosen: NDArray[np.bool_], late_s: FloatArray) -> int:
        """Let the `chosen` (samples,) arrive `late_s` (samples,) later; returns how many."""
        self.delivered_s[chosen] += late_s[chosen]
        return self._arriving(chosen)

    def lose(self, chosen: NDArray[np.bool_]) -> int:
        """Let the `chosen` (samples,) never arrive; returns how many would have."""
        lost = self._arriving(chosen)
        self.delivered_s[chosen] = np.inf
        return lost

    def punch(self, chosen: NDArray[np.bool_]) -> int:
        """Leave one figure of each of the `chosen` (samples,) out; returns how many."""
        self._holed |= chosen
        return self._arriving(chosen)

    def repeat(self, chosen: NDArray[np.bool_]) -> int:
        """Let the `chosen` (samples,) arrive once more, an interval later; returns how many."""
        self._again.extend(np.nonzero(chosen)[0].tolist())
        return self._arriving(chosen)

    def misread(self, chosen: NDArray[np.bool_], figure: str, factor: float) -> int:
        """Show `figure` of the `chosen` (samples,) `factor` times too large; returns how many."""
        column = SAMPLE_FIELDS.index(figure)

        def magnify(sample: FloatArray) -> bool:
            sample[column] *= factor
            return True

        return self.see_through(chosen, magnify)

    def see_through(self, chosen: NDArray[np.bool_], lens: Lens) -> int:
        """Show the `chosen` (samples,) through `lens`; returns how many."""
        for k in np.nonzero(chosen)[0].tolist():
            self._lenses.setdefault(k, []).append(lens)
        return self._arriving(chosen)

    def _arriving(self, chosen: NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(chosen & np.isfinite(self.delivered_s)))

    def start(self) -> None:
        """Fix the order of delivery."""
        arriving = np.nonzero(np.isfinite(self.delivered_s))[0]
        queue = list(zip(self.delivered_s[arriving].tolist(), arriving.tolist(), strict=True))
        for k in self._again:
            at_s = float(self.delivered_s[k] + self.sampled_s[0])
            if np.isfinite(at_s) and not any(begin <= at_s < end for begin, end in self._dark):
                queue.append((at_s, k))
        self._queue = sorted(queue)
        self._queue.append((np.inf, -1))

    def begin_after(self, seen: FloatArray) -> None:
        """Begin with samples (n, fields) that were seen before the run; after `start`."""
        self._begin_block(seen[-WINDOW:])

    def window(self, now_s: float) -> np.ndarray:
        """The newest samples visible at `now_s`, a structured array with the newest last."""
        queue = self._queue
        while queue[self._next][0] <= now_s:
            self._deliver(queue[self._next][1])
            self._next += 1
        return self._window[max(self._count - WINDOW, 0) : self._count]

    def _deliver(self, k: int) -> None:
        visible, at = self._visible, self._count
        row = self._metrics[k]
        if k in self._lenses:
            row = row.copy()
            if not all(lens(row) for lens in self._lenses[k]):
                return
        # Late samples are put in their place: the window is ordered by the time of the sample.
        first = max(at - WINDOW, 0)
        while at > first and visible[at - 1, 0] > row[0]:
            at -= 1
        late = self._count - at
        if late == WINDOW:
            return  # older than all that is shown
        if late or at == len(visible):
            # A window that was handed out earlier may not change under its owner's hands.
            self._begin_block(visible[first : self._count])
            visible, at = self._visible, self._count - late
            visible[at + 1 : self._count + 1] = visible[at : self._count].copy()
        visible[at] = row
        if self._holed[k]:
            visible[at, self._hole[k]] = np.nan
        self._count += 1

    def _begin_block(self, newest: FloatArray) -> None:
        self._visible = np.empty((BLOCK, len(SAMPLE_FIELDS)))
        self._window = self._visible.view(SAMPLE_DTYPE)[:, 0]
        self._count = len(newest)
        self._visible[: self._count] = newest

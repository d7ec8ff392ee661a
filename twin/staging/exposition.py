"""What a worker tells Prometheus, in its text format, at the cost of a few additions a request.

Counters and histograms only grow, so a missed scrape loses nothing: utilisation is the rate of
`wedtwin_slots_busy_seconds_total` over the slots, not a sample of a gauge.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping

BOUNDS = tuple(round(0.002 * 1.2**k, 6) for k in range(58))
"""Upper bounds of the histograms' buckets, 2 ms to 65 s, 20 % apart: fine enough to interpolate a
quantile within some per cent."""


class Histogram:
    """Durations in seconds, counted by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.sum_s = 0.0
        self.squares = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BOUNDS, duration_s)] += 1
        self.sum_s += duration_s
        self.squares += duration_s * duration_s

    def lines(self, name: str, labels: str, about: str) -> list[str]:
        """The histogram in the text format, and the sum of squares as a counter beside it."""
        lines = [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip(BOUNDS, self._counts, strict=False):
            total += count
            lines.append(f'{name}_bucket{{{labels},le="{bound:g}"}} {total}')
        total += self._counts[-1]
        lines.append(f'{name}_bucket{{{labels},le="+Inf"}} {total}')
        lines.append(f"{name}_sum{{{labels}}} {self.sum_s!r}")
        lines.append(f"{name}_count{{{labels}}} {total}")
        squares = f"{name.removesuffix('_seconds')}_squared_seconds_total"
        lines.append(f"# HELP {squares} Sum of the squares of {name}.")
        lines.append(f"# TYPE {squares} counter")
        lines.append(f"{squares}{{{labels}}} {self.squares!r}")
        return lines


class Counts:
    """All figures of one worker that only grow."""

    OUTCOMES = ("served", "shed", "timed_out", "failed")

    def __init__(self, slo_s: float, callees: Iterable[str] = ()) -> None:
        self.slo_s = slo_s
        self.calls = dict.fromkeys(callees, 0)
        """Calls to other services, made or under way."""
        self.arrived = 0
        self.slow = 0
        """Served, but slower than the SLO."""
        self.first_served_s = 0.0
        """When the first request was served (epoch seconds), 0 before that."""
        self.outcomes = dict.fromkeys(self.OUTCOMES, 0)
        self.response = Histogram()
        self.waited = Histogram()
        self.held = Histogram()
        self.called = Histogram()

    def responded(self, duration_s: float) -> None:
        """Count the response time of a request that was served."""
        self.response.observe(duration_s)
        self.slow += duration_s > self.slo_s
        self.first_served_s = self.first_served_s or time.time()

    def expose(self, labels: str, gauges: Mapping[str, tuple[float, str]]) -> str:
        """Everything in Prometheus' text format; `gauges` holds value and meaning by name."""
        lines = []
        for name, (value, about) in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines.append(f"{name}{{{labels}}} {value!r}")
        lines += [
            "# HELP wedtwin_requests_total Requests that arrived.",
            "# TYPE wedtwin_requests_total counter",
            f"wedtwin_requests_total{{{labels}}} {self.arrived}",
            "# HELP wedtwin_slow_total Requests that were served, but slower than the SLO.",
            "# TYPE wedtwin_slow_total counter",
            f"wedtwin_slow_total{{{labels}}} {self.slow}",
            "# HELP wedtwin_first_served_seconds When the first request was served; 0: none yet.",
            "# TYPE wedtwin_first_served_seconds gauge",
            f"wedtwin_first_served_seconds{{{labels}}} {self.first_served_s!r}",
            "# HELP wedtwin_responses_total Requests that were answered, by outcome.",
            "# TYPE wedtwin_responses_total counter",
        ]
        lines += [
            f'wedtwin_responses_total{{{labels},outcome="{outcome}"}} {count}'
            for outcome, count in self.outcomes.items()
        ]
        if self.calls:
            lines += [
                "# HELP wedtwin_calls_total Calls to other services, by callee.",
                "# TYPE wedtwin_calls_total counter",
            ]
        lines += [
            f'wedtwin_calls_total{{{labels},callee="{callee}"}} {count}'
            for callee, count in self.calls.items()
        ]
        for name, histogram, about in (
            ("wedtwin_response_seconds", self.response, "From arrival to answer, calls included."),
            ("wedtwin_wait_seconds", self.waited, "Wait for a slot."),
            ("wedtwin_service_seconds", self.held, "For how long a slot was held."),
            ("wedtwin_call_seconds", self.called, "Calls to other services, each by itself."),
        ):
            lines += histogram.lines(name, labels, about)
        return "\n".join(lines) + "\n"

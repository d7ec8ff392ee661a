"""A part of the platform request by request, the rest as a fluid, at the same time.

The users and the instances' slots are cut into `cells` equal, independent slices, each with its own
queues (as a cell-based platform has them).  In a window of time `simulated` of them are followed
request by request, each by a `RequestPlatform` of its own and all in parallel threads; the fluid
carries the platform as a whole from the first to the last second.  What the platform emits in the
window is the sum of the simulated cells and of the fluid's share for the others, so nothing outside
can tell; with one cell it is the request resolution alone.

The cells start `warmup_s` before their window from what the fluid holds then: its waiting requests
and those in service arrive at the cell in that second, which fills its slots and its queue.  At the
end they are dropped and the fluid goes on from its own state: it has had the same arrivals and the
same capacity meanwhile.  A cell has less to share than the platform: with very many cells, queues
are longer than in one large pool, as they are in reality.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from scenarios.streams import Streams
from twin.queues.fluid import BUCKETS, FluidPlatform
from twin.queues.kernels.requests.layout import BUCKETS as REQUEST_BUCKETS
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform

F = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
QUANTILES = (("p50_s", 0.50), ("p95_s", 0.05), ("p99_s", 0.01))
"""The quantiles of a sample and the share of the requests that is slower."""


@dataclass(frozen=True, slots=True)
class Share:
    """What is followed request by request: `simulated` of `cells`, from `begin_s` to `end_s`.

    Seconds into the run, multiples of the sample; the cells run from `begin_s - warmup_s` on.
    """

    begin_s: int
    end_s: int
    cells: int = 1
    simulated: int = 1
    warmup_s: int = 120


class HybridPlatform:
    """All services, part of them at the request resolution; implements `port.Platform`.

    As `FluidPlatform`; `arrivals` have to be whole numbers.  `streams` gives a generator for a
    name: "cells" divides the arrivals, "requests.cell0" and so on drive the cells, in as many
    `threads` as there are cores unless told otherwise; the results do not depend on their number.
    """

    def __init__(
        self,
        services: Sequence[ServiceSpec],
        arrivals: FloatArray,
        clients: ClientBehaviour | Mapping[str, ClientBehaviour],
        share: Share,
        *,
        streams: Streams,
        sample_s: int = 5,
        start_s: float = 0.0,
        threads: int | None = None,
    ) -> None:
        self.services = tuple(services)
        self.sample_s = sample_s
        self.share = share
        self.cells: list[RequestPlatform] = []
        """The simulated cells, from their start on."""
        self._arrivals = arrivals
        self._clients = clients
        self._streams = streams
        self._start_s = start_s
        self._fluid = FluidPlatform(services, arrivals, clients, sample_s, start_s=start_s)
        self._cells_from_s = max(share.begin_s - share.warmup_s, 0) // sample_s * sample_s
        self._weight = share.simulated / share.cells
        self._slots = np.zeros(len(self.services), np.int64)
        self._slowdown = np.ones(len(self.services))
        self._more_calls = np.ones(len(self.services))
        self._pool = ThreadPoolExecutor(min(share.simulated, threads or os.cpu_count() or 1))
        self._merged = 0
        self._over = False
        self._before: list[FloatArray] = []
        self._after: list[FloatArray] = []
        self.metrics: FloatArray = np.full_like(self._fluid.metrics, np.nan)
        self.truth: FloatArray = np.zeros_like(self._fluid.truth)

    @property
    def now_s(self) -> int:
        """Seconds since the start of the window up to which the services have been advanced."""
        return self._fluid.now_s

    @property
    def samples(self) -> int:
        """Number of complete samples in `metrics` and `truth`."""
        return self._fluid.samples

    def advance(self, until_s: int) -> None:
        """Simulate up to `until_s`; raises ValueError as `FluidPlatform.advance` does."""
        borders = (self._cells_from_s, self.share.begin_s, self.share.end_s)
        for stop_s in sorted({*(b for b in borders if self.now_s < b < until_s), until_s}):
            self._end()
            self._begin()
            self._fluid.advance(stop_s)
            if self.cells and not self._over:
                inside_s = stop_s - self._cells_from_s
                list(self._pool.map(lambda cell: cell.advance(inside_s), self.cells))  # noqa: B023
            self._merge()
        self._begin()

    def set_ready(self, service: int, instances: int, crashed: int = 0) -> None:
        """From now on `instances` can start requests, their slots spread evenly over the cells."""
        self._fluid.set_ready(service, instances, crashed)
        each = self.services[service].slots
        self._slots[service] = instances * each
        if self._over:
            return
        for k, cell in enumerate(self.cells):
            gone = min(self._part(crashed * each, k), round(cell.ready(service)))
            cell.set_ready(service, self._part(instances * each, k), gone)

    def set_slowdown(self, service: int, factor: float) -> None:
        """From now on requests hold their slots `factor` times as long as specified."""
        self._fluid.set_slowdown(service, factor)
        self._slowdown[service] = factor
        for cell in self.cells:
            cell.set_slowdown(service, factor)

    def set_calls(self, service: int, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified."""
        self._fluid.set_calls(service, factor)
        self._more_calls[service] = factor
        for cell in self.cells:
            cell.set_calls(service, factor)

    def ready(self, service: int) -> float:
        """Instances that can start requests now."""
        return self._fluid.ready(service)

    def totals(self) -> FloatArray:
        """Counts since the start and stocks now, shape (services, 9), as `TRUTH_FIELDS[:9]`."""
        totals = self._fluid.totals()
        if not self._before:
            return totals
        fluid_then, *cells_then = self._before
        fluid_now, *cells_now = self._after or self._all_totals()
        stocks = slice(T["queued"], None)
        change = sum(
            (now - then for now, then in zip(cells_now, cells_then, strict=True)),
            start=-self._weight * (fluid_now - fluid_then),
        )
        change[:, stocks] = 0.0
        if not self._over:
            change[:, stocks] = sum(cell[:, stocks] for cell in cells_now)
            change[:, stocks] -= self._weight * fluid_now[:, stocks]
        merged: FloatArray = totals + change
        return merged

    def conservation_error(self) -> float:
        """The largest of the fluid and of the cells: each part balances on its own."""
        cells = [cell.conservation_error() for cell in self.cells]
        return max(self._fluid.conservation_error(), *cells, 0.0)

    def little_error(self) -> float:
        """As `RequestPlatform.little_error`, the largest of the cells; 0 before their start."""
        return max((cell.little_error() for cell in self.cells), default=0.0)

    def response_quantiles(self, service: int, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        """Response times (s) by request over the run so far, all parts together."""
        if not self._before:
            return self._fluid.response_quantiles(service, quantiles)
        counts = self._fluid.histogram(service)
        then = self._histograms_then[service]
        now = self._histograms_after[service] if self._over else self._histograms(service)
        counts -= self._weight * (now[0] - then[0])
        for cell_now, cell_then in zip(now[1:], then[1:], strict=True):
            counts += cell_now - cell_then
        return tuple(BUCKETS.quantiles(counts, quantiles).tolist())

    def _part(self, count: int, cell: int) -> int:
        """What cell `cell` has of `count`: whole, the same for all but for one."""
        return count // self.share.cells + int(cell < count % self.share.cells)

    def _begin(self) -> None:
        """Start the cells, or count them from now on, where it is time to."""
        if self.now_s == self._cells_from_s and not self.cells:
            self._start_cells()
        if self.now_s == self.share.begin_s and not self._before:
            self._before = self._all_totals()
            self._histograms_then = [self._histograms(s) for s in range(len(self.services))]

    def _end(self) -> None:
        """Drop the cells once their window is over and the run goes on."""
        if self.now_s == self.share.end_s and not self._over:
            self._after = self._all_totals()
            self._histograms_after = [self._histograms(s) for s in range(len(self.services))]
            self._over = True
            self._pool.shutdown()

    def _start_cells(self) -> None:
        share, begin_s = self.share, self._cells_from_s
        # Cells are made of slots: of fourteen instances there is no sixty-fourth.
        services = [replace(spec, slots=1) for spec in self.services]
        left = self._arrivals[:, begin_s : share.end_s].copy()
        # What the fluid holds now arrives at once.
        stocks = self._fluid.totals()[:, T["queued"] :].sum(axis=1)
        left[:, 0] += np.floor(stocks)
        rng = self._streams("cells")
        for k in range(share.simulated):
            if k == share.cells - 1:
                arrivals = left
            else:
                drawn = rng.binomial(left.astype(np.int64), 1.0 / (share.cells - k))
                arrivals = drawn.astype(np.float64)
                left -= arrivals
            cell = RequestPlatform(
                services, arrivals, self._clients, self._streams.quick(f"requests.cell{k}"),
                sample_s=self.sample_s, start_s=self._start_s + begin_s,
            )  # fmt: skip
            self.cells.append(cell)
            for s in range(len(self.services)):
                cell.set_slowdown(s, self._slowdown[s])
                cell.set_calls(s, self._more_calls[s])
                cell.set_ready(s, self._part(int(self._slots[s]), k))

    def _all_totals(self) -> list[FloatArray]:
        return [self._fluid.totals(), *(cell.totals() for cell in self.cells)]

    def _histograms(self, service: int) -> list[FloatArray]:
        cells = [
            BUCKETS.rebucketed(cell.histogram(service), REQUEST_BUCKETS) for cell in self.cells
        ]
        return [self._fluid.histogram(service), *cells]

    def _merge(self) -> None:
        """Fill in the samples that are complete since the last time."""
        first, last = self._merged, self._fluid.samples
        if first == last:
            return
        self._merged = last
        rows = slice(first, last)
        self.metrics[:, rows] = self._fluid.metrics[:, rows]
        self.truth[:, rows] = self._fluid.truth[:, rows]
        begin, end = self.share.begin_s // self.sample_s, self.share.end_s // self.sample_s
        first, last = max(first, begin), min(last, end)
        if first >= last:
            return
        rows, shift = slice(first, last), self._cells_from_s // self.sample_s
        inner = slice(first - shift, last - shift)
        truth = np.stack([cell.truth[:, inner] for cell in self.cells])
        metrics = np.stack([cell.metrics[:, inner] for cell in self.cells])
        fluid = 1.0 - self._weight
        counted = slice(0, T["needed"])
        self.truth[:, rows, counted] *= fluid
        self.truth[:, rows, counted] += truth[..., counted].sum(axis=0)
        self._merge_metrics(rows, metrics, truth)

    def _merge_metrics(self, rows: slice, cells: FloatArray, truth: FloatArray) -> None:
        """Rates and queues add up, fractions are weighted, response times mixed."""
        fluid = 1.0 - self._weight
        whole = self._fluid.metrics[:, rows]
        merged = self.metrics[:, rows]
        for name in ("request_rate", "queue_depth"):
            merged[..., F[name]] = fluid * whole[..., F[name]] + cells[..., F[name]].sum(axis=0)
        parts = np.concatenate((whole[None], cells))
        slots = np.array(
            [[self._part(int(n), k) for n in self._slots] for k in range(len(self.cells))]
        )
        rest = self._slots - slots.sum(axis=0)
        by_slots = np.concatenate((rest[None], slots)).astype(np.float64)[:, :, None]
        served = np.concatenate((fluid * self._fluid.truth[None, :, rows], truth))
        finished = served[..., [T["served"], T["failed"], T["shed"], T["timed_out"]]].sum(axis=-1)
        for name in ("cpu", "memory"):
            merged[..., F[name]] = _weighted(parts[..., F[name]], by_slots)
        merged[..., F["error_rate"]] = _weighted(parts[..., F["error_rate"]], finished)
        columns = [F[name] for name, _ in QUANTILES]
        merged[..., columns] = _mixed(parts[..., columns], served[..., T["served"]])
        self.metrics[:, rows] = merged


def _weighted(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over the first axis, of what is known and has a weight; the first where nothing has."""
    weights = np.broadcast_to(weights, values.shape) * np.isfinite(values)
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (np.nan_to_num(values) * weights).sum(axis=0) / total
    result: FloatArray = np.where(total > 0.0, mean, values[0])
    return result


def _mixed(quantiles: FloatArray, weights: FloatArray) -> FloatArray:
    """Quantiles of a mixture of distributions of which only p50, p95 and p99 are known.

    `quantiles` (parts, ..., 3) in seconds, `weights` (parts, ...).  Between and beyond its three
    points, the logarithm of each part's survival function is taken for linear in time (exponential
    pieces); the mixture's is inverted by bisection.
    """
    weighed = np.isfinite(quantiles).all(axis=-1) & (weights > 0.0)
    if len(quantiles) == 1:
        return quantiles[0]
    weights = np.where(weighed, weights, 0.0)
    total = weights.sum(axis=0)
    points = np.where(weighed[..., None], quantiles, 1.0)
    levels = np.log([share for _, share in QUANTILES])
    result = np.empty(quantiles.shape[1:])
    for k, level in enumerate(levels):
        low, high = points[..., k].min(axis=0), points[..., k].max(axis=0)
        for _ in range(40):
            middle = 0.5 * (low + high)
            slower = (weights * np.exp(_log_survival(points, middle, levels))).sum(axis=0)
            above = slower > np.exp(level) * total
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        result[..., k] = np.where(total > 0.0, 0.5 * (low + high), quantiles[0, ..., k])
    return result


def _log_survival(points: FloatArray, at_s: FloatArray, levels: FloatArray) -> FloatArray:
    """Logarithm of each part's survival function at `at_s`, at most 0."""
    p50, p95, p99 = points[..., 0], points[..., 1], points[..., 2]
    first = levels[0] * at_s / np.maximum(p50, 1e-12)
    second = levels[0] + (levels[1] - levels[0]) * (at_s - p50) / np.maximum(p95 - p50, 1e-12)
    third = levels[1] + (levels[2] - levels[1]) * (at_s - p95) / np.maximum(p99 - p95, 1e-12)
    value: FloatArray = np.where(at_s < p50, first, np.where(at_s < p95, second, third))
    return np.minimum(value, 0.0)

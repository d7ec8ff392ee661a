"""Isolation forest: looks that a few random cuts part from all others (Liu, Ting, Zhou, ICDM 2008).

A forest a service is fitted by scikit-learn to a sample of the past, on the standardised residuals,
and anew every `refit_s`; it is a pure function of that sample, so only the sample is remembered and
a restored monitor grows the same forest again.  It is scored every `every_s`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceSpec
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import RESIDUALS, Arrays, Picture, or_zero, within

SAMPLE = 256
"""Looks that a forest is fitted to, as in the paper."""
LEAST = 128
EDGE = 3.0
"""A look without any residual so many spreads from what is usual is not scored."""
REACH = 8.0
"""Residuals count by so many spreads at most: how far beyond is for the other detectors."""


class IsolationForests:
    """Scores 0-1, as in the paper; above `score` a look is isolated."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        score: float = 0.82,
        trees: int = 50,
        every_s: float = 30.0,
        *,
        refit_s: float = 21_600.0,
        seed: int = 1,
    ) -> None:
        self._services = len(specs)
        self._score, self._trees, self._seed = score, trees, seed
        self._every_s, self._refit_s = every_s, refit_s
        self._grown: dict[int, tuple[FloatArray, Trees]] = {}

    def begin(self) -> Arrays:
        """No look yet, no forest."""
        shape = (self._services, SAMPLE, len(RESIDUALS))
        return {
            "past": np.full(shape, np.nan),
            "fitted": np.full(shape, np.nan),
            "due_s": np.zeros(self._services),
            "refit_s": np.full(self._services, self._refit_s),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services are where they hardly ever were."""
        due_s = memory["due_s"] - picture.elapsed_s
        refit_s = memory["refit_s"] - picture.elapsed_s
        if due_s[0] > 0.0:
            return {**memory, "due_s": due_s, "refit_s": refit_s}, ()
        now = within(or_zero(picture.z), -REACH, REACH)
        past = np.concatenate((memory["past"][:, 1:], now[:, None, :]), axis=1)
        fitted = memory["fitted"]
        full = ~np.isnan(past[:, -LEAST, 0])
        first = full & np.isnan(fitted[:, -1, 0])
        again = first | (full & (refit_s <= 0.0))
        if again.any():
            fitted = np.where(again[:, None, None], past, fitted)
            refit_s = np.where(again, self._refit_s, refit_s)
        memory = {
            "past": past,
            "fitted": fitted,
            "due_s": np.full(self._services, self._every_s),
            "refit_s": refit_s,
        }
        symptoms = []
        # Random cuts isolate what is at an edge; what lies amid all others needs no forest.
        edge = np.abs(now).max(axis=1, initial=0.0) > EDGE
        for i in np.flatnonzero(edge & ~np.isnan(fitted[:, -1, 0]) & picture.fresh).tolist():
            score = self._grow(i, fitted[i]).score(now[i].astype(np.float32))
            if score > self._score:
                symptoms.append(
                    Symptom(
                        service=picture.traits.names[i],
                        kind=FindingKind.ISOLATED,
                        severity=Severity.INFO,
                        watcher="forest",
                        figure="isolation",
                        value=score,
                        since_s=float(picture.evidence_s[i]),
                        confidence=0.4,
                        limit=self._score,
                    )
                )
        return memory, symptoms

    def _grow(self, service: int, sample: FloatArray) -> Trees:
        """The forest of `sample`, grown when it is first needed."""
        grown = self._grown.get(service)
        if grown is None or not np.array_equal(grown[0], sample, equal_nan=True):
            grown = self._grown[service] = (
                sample,
                Trees.fitted(sample[~np.isnan(sample[:, 0])], self._trees, self._seed),
            )
        return grown[1]


class Trees(NamedTuple):
    """A forest as arrays, (trees, nodes) each: scored in microseconds, not milliseconds.

    A node's children are `left` and `right`, itself where it is a leaf; `depth` is what a look that
    ends there counts as, with the mean of what is left of the cuts (Liu et al., eq. 1).
    """

    feature: NDArray[np.intp]
    threshold: FloatArray
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    depth: FloatArray
    cuts: int
    mean: float

    @classmethod
    def fitted(cls, sample: FloatArray, trees: int, seed: int) -> Trees:
        """Grown by scikit-learn to `sample` (looks, features)."""
        from sklearn.ensemble import IsolationForest  # only whoever uses it waits for it

        forest = IsolationForest(n_estimators=trees, max_samples=len(sample), random_state=seed)
        grown = [own.tree_ for own in forest.fit(sample).estimators_]
        nodes = max(tree.node_count for tree in grown)
        feature, threshold = np.zeros((trees, nodes), np.intp), np.zeros((trees, nodes))
        left = np.tile(np.arange(nodes, dtype=np.intp), (trees, 1))
        right, depth = left.copy(), np.zeros((trees, nodes))
        cuts = 0
        for t, tree in enumerate(grown):
            inner = tree.children_left >= 0
            at = np.flatnonzero(inner)
            feature[t, at], threshold[t, at] = tree.feature[at], tree.threshold[at]
            left[t, at], right[t, at] = tree.children_left[at], tree.children_right[at]
            for node in at.tolist():  # parents come before their children
                depth[t, [left[t, node], right[t, node]]] = depth[t, node] + 1.0
            cuts = max(cuts, int(depth[t].max()))
            leaves = np.flatnonzero(~inner)
            depth[t, leaves] += _mean_cuts(tree.n_node_samples[leaves])
        return cls(
            feature, threshold, left, right, depth, cuts,
            float(_mean_cuts(np.array([float(len(sample))]))[0]),
        )  # fmt: skip

    def score(self, look: FloatArray) -> float:
        """How isolated `look` (features,) is, 0-1."""
        trees = np.arange(len(self.feature))
        node = np.zeros(len(trees), np.intp)
        for _ in range(self.cuts):
            lower = look[self.feature[trees, node]] <= self.threshold[trees, node]
            node = np.where(lower, self.left[trees, node], self.right[trees, node])
        return float(2.0 ** (-self.depth[trees, node].mean() / self.mean))


def _mean_cuts(looks: FloatArray) -> FloatArray:
    """Mean number of cuts that part one of so many looks from the others (Liu et al., eq. 1)."""
    many = np.maximum(looks.astype(np.float64), 2.0)
    mean = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(looks > 2, mean, np.where(looks == 2, 1.0, 0.0))

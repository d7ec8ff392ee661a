"""Files of learned models: archives with a manifest, and types that are not trusted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from engine.prediction import artefact
from engine.prediction.artefact import Artefact, ArtefactError, Manifest
from tools.fuzz.target import FuzzTarget


def _made() -> bytes:
    x = np.random.default_rng(3).normal(size=(20, 2))
    state = {
        "a": np.arange(3.0), "names": ["x", "y"], "c": {"d": [1.5, None, True]},
        "model": HistGradientBoostingRegressor(max_iter=2, random_state=0).fit(x, x[:, 0]),
    }  # fmt: skip
    return artefact.dump(Artefact(Manifest("test", 1, "f00", 5.0, 3, {"wape": 0.1}), state))


def _read() -> Callable[[bytes], object]:
    return lambda given: artefact.load(given, "test", 1)


TARGET = FuzzTarget("artefact", (_made(),), _read, (ArtefactError,))

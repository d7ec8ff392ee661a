"""Files of models of events."""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.config.strict import ConfigError
from engine.prediction import event_model
from tools.fuzz.scratch import MODEL, folder
from tools.fuzz.target import FuzzTarget


def _read() -> Callable[[bytes], object]:
    path = folder() / "model.json"

    def read(given: bytes) -> object:
        path.write_bytes(given)
        return event_model.read(path, ["api", "database"])

    return read


TARGET = FuzzTarget("event_model", (json.dumps(MODEL).encode(),), _read, (ConfigError,))

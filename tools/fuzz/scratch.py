"""Folders and specs that targets share."""

from __future__ import annotations

import atexit
import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.model import BootTime, ServiceSpec

NOW_S = 1_813_320_000.0
"""2027-06-18 12:00 UTC."""
SPECS = (
    ServiceSpec("api", 1, 90, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1),
    ServiceSpec("database", 1, 30, 4, 0.05, 1.0, BootTime(9.0, 15.0), 1.0, 0.5, 0.4),
)
MODEL: dict[str, Any] = {
    "noun": "weddings",
    "phases": [
        {"name": "before", "starts_s": -3600},
        {"name": "during", "starts_s": 0},
        {"name": "after", "starts_s": 7200},
    ],
    "ends_s": 10800,
    "usual": {"guest": 100, "vendor": 10},
    "rates": {"api": {"guest": {"during": 0.5}, "vendor": {"before": 1.0}}},
    "background": {"api": [5.0] * 24},
    "lateness_sd_s": 0,
    "sigma": 0.1,
}
COLUMNS = {
    "id": "id", "starts": "at", "ends": "until", "people": {"guest": "guests"},
    "status": "state", "major": "type", "updated": "changed",
}  # fmt: skip


def folder() -> Path:
    """A folder that goes with the process, in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="wedtwin-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def model() -> str:
    """The file of the model of events."""
    path = folder() / "events.json"
    path.write_text(json.dumps(MODEL))
    return str(path)


def of_tests(path: str) -> Any:
    """A module of the tests, which are no package: `tests` may be anybody's."""
    name = "of_tests_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        file = Path(__file__).parents[2] / "tests" / path
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]

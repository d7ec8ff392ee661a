"""What a pool finds in its folder, and how it is told to start a worker."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.adapters.pool import haproxy
from engine.adapters.pool.place import Place, PlaceError, Worker, load
from engine.model import BootTime, Call, ServiceSpec

SPEC = ServiceSpec(
    "api", 1, 4, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1, calls=(Call("db", 2.0),)
)


def stack(folder: Path, **changes: object) -> Path:
    there = {
        "token": "t", "zones": ["a", "b"], "ports": {"prometheus": 9090},
        "services": {"api": {"spec": asdict(SPEC), "timeout_s": 5.0}}, "seed": 1, **changes,
    }  # fmt: skip
    (folder / "stack.json").write_text(json.dumps(there))
    return folder


def test_it_reads_what_it_needs_and_leaves_the_rest(tmp_path: Path) -> None:
    there = load(Place(stack(tmp_path)))
    assert there.services == {"api": SPEC}
    assert (there.zones, there.token) == (("a", "b"), "t")
    assert there.metrics_url == "http://127.0.0.1:9090"


@pytest.mark.parametrize(
    "changes",
    [{"services": {"api": {}}}, {"ports": {}}, {"zones": None}, {"services": {"api": {"spec": 1}}}],
)
def test_a_file_that_is_not_a_stacks_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(PlaceError, match=r"stack\.json cannot be used"):
        load(Place(stack(tmp_path, **changes)))


def test_a_worker_is_told_what_its_command_and_environment_ask_for() -> None:
    worker = Worker(("{python}", "serve.py", "--zone={zone}"), {"PORT_FD": "{socket}"})
    words = dict.fromkeys(("folder", "instance", "service", "launched", "booted"), "x")
    command, environment = worker.started_with(python=sys.executable, zone="a", socket=7, **words)
    assert command == [sys.executable, "serve.py", "--zone=a"]
    assert environment == {"PORT_FD": "7"}


@pytest.mark.parametrize(
    ("worker", "environment", "said"),
    [
        ((), {}, "infrastructure.options.worker: a command is needed"),
        (("run", "{zoen}"), {}, "'zoen' is not allowed"),
        (("run",), {"X": "{}"}, "is not allowed"),
    ],
)
def test_a_command_that_cannot_be_filled_in_is_refused_before_anything_is_started(
    tmp_path: Path, worker: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=r"^infrastructure\.options\.worker: ") as refused:
        haproxy.connect([SPEC], str(stack(tmp_path)), worker, environment)
    assert said in str(refused.value)

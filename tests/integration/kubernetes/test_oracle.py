"""The HPA that the engine is compared with says what Kubernetes' own replica calculator says.

WEDTWIN_ORACLE_CASES says how many random cases are asked; each thousand has a seed of its own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.controllers.upstream.hpa import (
    ManagerFlags,
    MetricError,
    Pod,
    PodPhase,
    Sample,
    Tolerance,
    from_pods,
)
from tests.control_plane import tools

CASES = int(os.environ.get("WEDTWIN_ORACLE_CASES", "3000"))
BATCH = 1000
NOW_S = 1e6


@pytest.fixture(scope="module")
def programs() -> Path:
    return tools()


def question(rng: random.Random) -> dict[str, Any]:
    """Pods of all ages and in all states, with samples that are missing, old or early."""
    count = rng.choice([1, 1, 2, 3, 5, 10, 30, 100])
    target = rng.choice([1, 30, 50, 60, 80, 100, 150])
    level = rng.choice([0.0, rng.uniform(0.05, 0.95), rng.uniform(0.85, 1.15), rng.uniform(1, 9)])
    request = rng.choice([1, 100, 250, 333, 1000, 4000])
    trouble = rng.choice([0.0, 0.0, 0.1, 0.5, 1.0])

    def pod() -> dict[str, Any]:
        amiss = rng.random() < trouble
        age_s = rng.choice([0.5, 9.5, 29.5, 30.5, 120.5, 299.5, 300.5, 301.5, 5000.5])
        phase = rng.choice(["Running", "Running", "Pending", "Failed", "Succeeded"])
        return {
            "phase": phase if amiss else "Running",
            "deleted": amiss and rng.random() < 0.3,
            "age_s": age_s,
            "ready": rng.choice([True, False, None]) if amiss else True,
            "ready_age_s": rng.uniform(0.0, age_s),
            "request_milli": request if rng.random() < 0.9 else rng.choice([1, 50, 2000]),
            "usage_milli": None
            if amiss and rng.random() < 0.4
            else int(request * level * target / 100 * rng.uniform(0.6, 1.4)),
            "sample_age_s": rng.choice([0.25, 5.25, 14.25, 40.25, 299.25]),
            "window_s": rng.choice([10.0, 15.0, 30.0, 60.0]),
        }

    return {
        "replicas": rng.choice([count, count, count + 1, max(1, count - 1), 2 * count]),
        "target_percent": target,
        "tolerance": [rng.choice([0.1, 0.0, 0.02, 0.5]), rng.choice([0.1, 0.0, 0.05])],
        "pods": [pod() for _ in range(count)],
    }


def ours(asked: dict[str, Any]) -> tuple[int, int, int] | None:
    """Replicas, per cent and usage as the baseline has them; None for an error."""
    pods, samples = [], {}
    for n, p in enumerate(asked["pods"]):
        name = f"pod-{n}"
        pods.append(
            Pod(
                name, PodPhase(p["phase"]), p["deleted"], NOW_S - p["age_s"], p["ready"],
                NOW_S - p["ready_age_s"], (p["request_milli"],),
            )
        )  # fmt: skip
        if p["usage_milli"] is not None:
            samples[name] = Sample((p["usage_milli"],), NOW_S - p["sample_age_s"], p["window_s"])
    up, down = asked["tolerance"]
    flags = ManagerFlags(tolerance=Tolerance(down=down, up=up))
    try:
        proposal = from_pods(
            pods, samples, asked["replicas"], asked["target_percent"], settings=flags, now_s=NOW_S,
            utilization=True,
        )  # fmt: skip
    except MetricError:
        return None
    return proposal.replicas, proposal.utilization or 0, proposal.usage_m


def test_no_random_case_differs_from_the_real_replica_calculator(programs: Path) -> None:
    said: Counter[str] = Counter()
    for batch in range((CASES + BATCH - 1) // BATCH):
        rng = random.Random(7 + batch)
        asked = [question(rng) for _ in range(min(BATCH, CASES - batch * BATCH))]
        answered = subprocess.run(
            [str(programs / "kube"), "hpa-oracle"],
            input="".join(json.dumps(one) + "\n" for one in asked),
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        answers = [json.loads(line) for line in answered.stdout.splitlines()]
        assert len(answers) == len(asked)
        for one, answer in zip(asked, answers, strict=True):
            theirs = None
            if "error" not in answer:
                theirs = (answer["replicas"], answer["percent"], answer["usage_milli"])
            assert ours(one) == theirs, json.dumps({"asked": one, "answered": answer})
            if theirs is None:
                said["error"] += 1
            else:
                change = theirs[0] - one["replicas"]
                said["more" if change > 0 else "fewer" if change < 0 else "as many"] += 1
    print(f"{CASES} cases: {dict(said)}")
    assert set(said) == {"error", "more", "fewer", "as many"}

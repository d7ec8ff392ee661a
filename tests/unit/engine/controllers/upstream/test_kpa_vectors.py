"""Knative's own cases, where the file that holds them is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.controllers.upstream import kpa as knative

FOLDER = os.environ.get("WEDTWIN_REFERENCE", Path(__file__).parents[4] / "shared" / "reference")
FILE = Path(FOLDER) / "kpa_vectors.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {"cases": []}
NOW_S = 1_000_000.0


@pytest.mark.skipif(
    not VECTORS["cases"],
    reason=f"{FILE} is not there; set WEDTWIN_REFERENCE to the folder that holds it",
)
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"].replace(" ", "-"))
def test_desired_pods(case: dict[str, Any]) -> None:
    given = VECTORS["meta"]["defaults_in_tests"] | case["overrides"]
    settings = knative.KpaSettings(
        target=case["target"], max_up=given["maxUp"], max_down=given["maxDown"],
        panic_threshold=given["panicThreshold"], stable_window_s=given["stableWindow_s"],
        scale_down_delay_s=given["scaleDownDelay_s"], activation_scale=given["activationScale"],
        reachable=given["reachable"],
    )  # fmt: skip
    memory = knative.KpaMemory.at_start(case["startReady"], NOW_S)
    if case["initialPanic"]:
        initial = case["initialPanic"]
        memory = knative.KpaMemory(NOW_S - initial["panic_started_s_ago"], initial["maxPanicPods"])
    for step in case["steps"]:
        desired = knative.scale(
            step["ready"],
            step["stable"],
            step["panic"],
            memory,
            settings=settings,
            now_s=NOW_S + step["t_s"],
        )
        assert desired == step["desired"], step

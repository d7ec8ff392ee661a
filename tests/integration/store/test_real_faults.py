"""Three real engines over a real database: one is killed or cut off, and the others take over."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tools.many_engines.faults import run, wrong
from tools.many_engines.place import has_networks

HANGS_S = 300.0
"""How soon it is on a machine of its own is for the tool to say."""
ACT = {"what": "act", "service": "s0", "before": 2, "after": 3, "epoch": 2, "id": "a"}


@pytest.mark.slow
def test_what_an_engine_had_finds_another_owner_and_nothing_is_done_twice() -> None:
    if shutil.which("postgres") is None:
        pytest.skip("PostgreSQL is missing: apt-get install --yes postgresql")
    # Without root, ip and nft the network stays whole.
    kind = "cut off" if has_networks() else "stopped"
    with tempfile.TemporaryDirectory(prefix="wedtwin-engines-", dir="/tmp") as folder:
        figures = run(Path(folder), 1, 1, [kind], latest_s=HANGS_S)
    assert figures["wrong"] == []
    assert figures["actions"] > 0
    assert all(took_s < HANGS_S for each in figures["take_over_s"].values() for took_s in each)


@pytest.mark.parametrize(("later", "said"), [
    ({"id": "b", "before": 3, "after": 4}, []),
    ({"id": "b", "before": 3, "after": 4, "epoch": 1}, ["s0: carried out under 1 after 2"]),
    ({"id": "b"}, ["s0: b counted on a count that was gone"]),
    ({"before": 3, "after": 4}, ["a counted 2 times"]),
    ({"id": "b", "service": "s1", "epoch": 1}, []),
    ({"id": "b", "epoch": 1, "what": "refused"}, []),
])  # fmt: skip
def test_a_log_says_what_was_done_twice(later: dict[str, object], said: list[str]) -> None:
    assert wrong([ACT, ACT | later]) == said

"""A team's own claim, and bundles of it that take milliseconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

import reports
from twin.evidence import command
from twin.evidence.arguments import EvidenceArguments
from twin.evidence.claims import Claim, parse

OWN = """
id: "6.1"
title: Latency of the shop
statement: Orders are taken within 200 ms.
why: People leave.
context: {platform: shop, load: a Saturday}
source: staging
valid_days: 30
method: A row an order.
does_not_say: Anything about Sundays.
figures:
  - {name: latency, says: mean latency, unit: ms, estimator: mean, column: ms,
     operator: "<=", limit: 200, smallest_n: 5}
measure:
  command: [python, -c, "for i in range({rows}): print('{\\"ms\\": %d}' % (100 + i))"]
quick: {rows: 6, minutes: 0.1}
full: {rows: 24, minutes: 0.1}
control:
  says: A second of waiting is added.
  command: [python, -c, "for i in range({rows}): print('{\\"ms\\": %d}' % (1100 + i))"]
"""

Make = Callable[..., Path]


@pytest.fixture
def own_text() -> str:
    return OWN


@pytest.fixture
def own(own_text: str) -> Claim:
    return parse(own_text.encode(), "own.yaml")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Measure the claims of these texts and give the folder of the bundle."""

    def made(*texts: str, key: Path | None = None, data: Path | None = None) -> Path:
        parsed = [(parse(text.encode(), "own.yaml"), text.encode()) for text in texts or (OWN,)]
        every = {claim.id: (claim, text) for claim, text in parsed}
        options = EvidenceArguments(
            wanted=(), level="quick", seed=1, day=dt.date(2027, 6, 19), load="1,000 orders",
            signer="", key=key, claims=None, data=data, output=tmp_path / "out",
        )  # fmt: skip
        return command.run(options, every, list(every), reports.write_evidence)[0]

    return made

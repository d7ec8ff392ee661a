"""A run record of the staging stack under load, played once for all claims that ask for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.config.composition import composed
from engine.config.strict import validated
from twin.staging.demo import Play, play
from twin.staging.settings import StagingConfig

LEAD_S = 35.0
SPEED = 60.0


def played(
    *,
    folder: Path,
    seed: int,
    seconds: float,
    scenario: str = "june_peak",
    start: str = "peak-5400",
    scale: float = 0.001,
    engine: Sequence[str] = (),
) -> None:
    """Play `seconds` (wall time) of a scenario's day from `start` on; the record is `folder`.

    The stack is brought up for it and taken down again.  Locust sends `scale` of the day's load, 60
    times as fast as the day; the engine starts at the stack's minimum, `LEAD_S` before the first
    request.  `engine` are overrides of the engine's settings.

    Raises StackError where the stack or Locust cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="wt-", dir="/tmp") as parent:
        place = Path(parent)
        place.chmod(0o755)  # PostgreSQL's own user has to enter it
        config = validated(
            StagingConfig, composed([f"folder={place / 'stack'}", f"seed={seed}"], root="staging")
        )
        made = play(
            config.wish(),
            Play(
                scenario=scenario,
                scale=scale,
                speed=SPEED,
                start=start,
                duration_s=seconds * SPEED,
                lead_s=LEAD_S,
                limits=(),
                engine_limits={},
                seed=seed,
                output=place / "runs",
                platform=(),
                engine=engine,
            ),
            lambda _: None,
        )
        shutil.copytree(made.record, folder)

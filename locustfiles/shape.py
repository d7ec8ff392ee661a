r"""The number of users follows a calendar, not a person at the keyboard.

    locust -f locustfiles/wedsync.py,locustfiles/shape.py --host http://127.0.0.1:8080 \
        --headless --curve day.csv --speed 60 --scale 0.001

plays the day of `day.csv` (`time_s,users`) in a sixtieth of its time with a thousandth of its
users, and stops where the curve ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import WorkerRunner

from locustfiles import curve, options

__all__ = ["CalendarShape", "options"]


class CalendarShape(LoadTestShape):
    """Users over time from `--curve`, `--speed` times faster, `--scale` times as many."""

    _curve: curve.Curve | None = None

    def tick(self) -> tuple[int, float] | None:
        """Users wanted now and how many to start or stop per second; None ends the load."""
        assert self.runner is not None  # set by Locust before the first tick
        chosen = self.runner.environment.parsed_options
        assert chosen is not None
        if self._curve is None:
            self._curve = curve.read(Path(chosen.curve))
        users = self._curve.users_at(self.get_run_time() * chosen.speed)
        if users is None:
            return None
        users = round(users * chosen.scale)
        # Locust ticks once a second: the whole difference belongs into this second.
        return users, float(max(1, abs(users - self.get_current_user_count())))


@events.init.add_listener
def require_curve(environment: Environment, **_: Any) -> None:
    """End with exit code 2 before any load is made when no curve was named."""
    chosen = environment.parsed_options
    asked_here = not isinstance(environment.runner, WorkerRunner)  # a worker asks its master
    if asked_here and chosen is not None and not chosen.curve:
        sys.stderr.write("--curve: name a CSV file with the columns time_s,users\n")
        sys.exit(2)

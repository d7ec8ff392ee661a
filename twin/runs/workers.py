"""Independent pieces of work in as many processes as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from typing import TypeVar

from twin.runs.lifetimes import worker_pool

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Results with the position of their task, in the order in which they get done.

    `work` is a function of a module, as it runs in fresh processes ("spawn": the same on every
    platform, and nothing is inherited).  What it raises is raised here.  When the iteration ends
    before its time, for an exception or an interrupt, the processes are ended; they also end with
    this one.
    """
    if not tasks:
        return
    count = max(min(workers or os.cpu_count() or 1, len(tasks)), 1)
    with worker_pool(count) as pool:
        futures = {pool.submit(work, task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()

"""Independent pieces of work in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Results with the position of their task, in the order in which they get done.

    `work` is a function of a module, as it runs in fresh processes ("spawn": the same on every
    platform, and nothing is inherited).  What it raises is raised here.  When the iteration ends
    before its time, for an exception or an interrupt, the processes are stopped.
    """
    if not tasks:
        return
    count = max(min(workers or os.cpu_count() or 1, len(tasks)), 1)
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    whole = False
    try:
        futures = {pool.submit(work, task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
        whole = True
    finally:
        if not whole:
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(wait=whole, cancel_futures=True)

"""How fast the twin is, as ratios in one run, and how its cost grows with the weddings.

Compares a day of `june_peak`, engine in the loop, with a textbook SimPy model of the *same*
weddings: one process a wedding that sleeps from phase to phase, no services, no engine.  Then runs
the day with ten times the weddings.  Each measurement has a process of its own, so that its peak
memory is its own.

    python benchmarks/twin_speed.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from statistics import median
from typing import Any

from twin.runs import lifetimes

CASES = ("textbook", "twin", "twin 1M")


def configuration(simultaneous: int) -> Any:
    """The configuration of `june_peak` with so many weddings at once."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from twin.config import parse

    with initialize_config_module("conf", version_base="1.3"):
        composed = compose("twin", [f"population.simultaneous={simultaneous}"])
    raw = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(raw, dict)
    return parse({str(key): value for key, value in raw.items()})


def textbook(config: Any) -> float:
    """Wall seconds of the model that a SimPy tutorial would lead to."""
    import simpy

    from scenarios.streams import Streams
    from scenarios.weddings.population import generate

    population = generate(config.population, Streams(config.seed))
    began = time.perf_counter()
    env = simpy.Environment(initial_time=float(population.actual_s.min()))
    in_progress = [0]

    def wedding(times: list[int]) -> Generator[simpy.Event, None, None]:
        for k, at_s in enumerate(times):
            yield env.timeout(at_s - env.now)
            in_progress[0] += (k == 0) - (k == len(times) - 1)

    for times in population.actual_s[population.happens].tolist():
        env.process(wedding(times))
    env.run(until=float(population.duration_s))
    return time.perf_counter() - began


def twin(config: Any) -> float:
    """Wall seconds of the twin: building the world and running it, once compiled."""
    from twin.world.world import World

    small = config.model_copy(
        update={"population": config.population.model_copy(update={"simultaneous": 100})}
    )
    World(small).run()  # load the compiled kernels
    began = time.perf_counter()
    World(config).run()
    return time.perf_counter() - began


def measure(case: str) -> None:
    """Measure one case in this process and print it as JSON."""
    config = configuration(1_000_000 if case.endswith("1M") else 100_000)
    wall_s = textbook(config) if case == "textbook" else twin(config)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(json.dumps({"wall_s": wall_s, "peak_mib": peak_mib}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many counts")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats has to be at least 1")
    if arguments.case:
        measure(arguments.case)
        return
    lifetimes.interrupt_on_sigterm()
    runs_of: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(arguments.repeats):
        for case in CASES:  # interleaved, so that a noisy neighbour hits all alike
            command = [sys.executable, __file__, "--case", case]
            output = subprocess.run(
                command, check=True, capture_output=True, text=True,
                preexec_fn=lifetimes.kill_with_parent,
            ).stdout  # fmt: skip
            runs_of[case].append(json.loads(output.splitlines()[-1]))
    wall = {case: median(run["wall_s"] for run in runs) for case, runs in runs_of.items()}
    memory = {case: max(run["peak_mib"] for run in runs) for case, runs in runs_of.items()}
    print("case      wall s  simulated s / wall s  peak MiB")
    for case in CASES:
        print(f"{case:8s}  {wall[case]:6.2f}  {86_400 / wall[case]:20,.0f}  {memory[case]:8,.0f}")
    print(f"twin against textbook: {wall['textbook'] / wall['twin']:.2f} times as fast")
    print(f"ten times the weddings: {wall['twin 1M'] / wall['twin']:.2f} times the time")


if __name__ == "__main__":
    main()

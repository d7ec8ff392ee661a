"""What the default engine reaches in each scenario, over several seeds, as a Markdown table.

python benchmarks/scenario_table.py [--seeds 7] [--scenarios june_peak,zone_outage] [key=value ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twin.runs.lifetimes import interrupt_on_sigterm, worker_pool

SCENARIOS = Path(__file__).resolve().parent.parent / "conf" / "scenario"
ALL = (
    "june_peak,quiet_tuesday,late_bookings,slow_boot,metrics_blackout,zone_outage,flash_crowd,"
    "retry_storm"
)


def summary(scenario: str, seed: int, overrides: tuple[str, ...]) -> dict[str, Any]:
    """The summary of one run."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from twin.config import parse
    from twin.runs.summary import summarise
    from twin.world.world import World

    with initialize_config_module("conf", version_base="1.3"):
        composed = compose("twin", [f"scenario={scenario}", f"seed={seed}", *overrides])
    raw = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(raw, dict)
    world = World(parse({str(key): value for key, value in raw.items()}))
    world.run()
    return summarise(world)


def span(values: list[float], form: str) -> str:
    """Smallest and largest value."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} … {high}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=7, help="so many runs of each")
    parser.add_argument("--scenarios", default=ALL, help="names, with commas between them")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for twin run")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds has to be at least 1")
    offered = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
    unknown = sorted(set(arguments.scenarios.split(",")) - set(offered))
    if unknown:
        parser.error(f"--scenarios: {', '.join(unknown)} is not one of {', '.join(offered)}")
    seeds = range(1, arguments.seeds + 1)
    print(
        "| scenario | SLO violation ratio | violation minutes | availability | USD | emergencies "
        "| slowest emergency s |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    interrupt_on_sigterm()
    with worker_pool(2) as pool:
        for scenario in arguments.scenarios.split(","):
            jobs = [
                pool.submit(summary, scenario, seed, tuple(arguments.overrides)) for seed in seeds
            ]
            summaries = [job.result() for job in jobs]
            slowest = [s["decision"]["emergency_s"]["max"] or 0.0 for s in summaries]
            cells = (
                scenario,
                span([s["slo"]["violation_ratio"] for s in summaries], ".5f"),
                span([float(s["slo"]["violation_minutes"]) for s in summaries], ".0f"),
                span([s["slo"]["availability"] for s in summaries], ".5f"),
                span([s["cost"]["total_usd"] for s in summaries], ",.0f"),
                span([float(s["decision"]["emergency_s"]["count"]) for s in summaries], ".0f"),
                span(slowest, ".0f") if max(slowest) else "–",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

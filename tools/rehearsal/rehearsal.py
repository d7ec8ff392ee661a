"""A scenario's day on a real Kubernetes, 60 times as fast, and the same hours in the twin.

    python tools/rehearsal/rehearsal.py --output outputs/rehearsal

brings a control plane up (`make kube-tools` builds it) whose nodes and pods are KWOK's, lets the
engine scale the platform's workloads through some hours around the scenario's peak, lets the
cluster be full for a while, and kills the API server in the middle.  What stays is the record and
report of the engine, as of any run, the twin's of the same hours, and `comparison.json` with the
figures of both beside the limits of `python -m twin validate`.

Pods of KWOK serve nothing.  What load they would have is worked out by the twin's own queues, of
the pods that are ready in the cluster: so this compares how counts come about (scheduler, boots,
adapter, the engine's process, scrapes), and says nothing about queues, which `validate` does.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.rehearsal.stage import (  # noqa: E402
    FIGURES,
    NAMESPACE,
    NODES,
    TOTALS,
    PlayedLoad,
    ReadyPods,
    RehearsalPlan,
    Troubles,
    served,
)

if TYPE_CHECKING:
    from engine.model import FloatArray, ServiceSpec
    from tests.control_plane import ControlPlane
    from twin.queues.fluid import FluidPlatform
    from twin.validate.closed import ClosedLoopRun

SPEED = 60
BEGINS_S = 20.0
"""From starting the engine's process until the part begins: it has to be up by then."""


def platform_overrides(plan: RehearsalPlan) -> list[str]:
    """The platform of both: that of the staging stack with room, and boots as even as KWOK's."""
    from engine.config.composition import composed

    services = composed(["platform=staging"])["platform"]["services"]
    changed = ["platform=staging", "engine=staging", f"scenario={plan.scenario}", "~thresholds"]
    for name, service in services.items():
        at = f"platform.services.{name}"
        median_s = service["boot"]["median_s"]
        changed += [
            f"{at}.max_instances={plan.most}", f"{at}.warmup_s=0",
            f"{at}.boot.p95_s={1.02 * median_s:.3f}",
        ]  # fmt: skip
    return changed


def rehearse(
    plan: RehearsalPlan, output: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Play it on Kubernetes and in the twin; returns what `comparison.json` holds."""
    import numpy as np

    from engine.config.composition import composed
    from scenarios.streams import Streams
    from scenarios.weddings.demand import arrivals
    from twin.config import parse
    from twin.queues.fluid import FluidPlatform
    from twin.queues.port import clients_of
    from twin.validate.closed import compared
    from twin.world import rehearsal as twin_rehearsal
    from twin.world.script import script
    from twin.world.world import HOUR_S, standing_counts

    output.mkdir(parents=True)
    overrides = platform_overrides(plan)
    config = parse(composed([*overrides, f"seed={plan.seed}"]))
    specs = config.platform.specs()
    names = [spec.name for spec in specs]
    day = script(config, specs, Streams(plan.seed))
    part = twin_rehearsal.Excerpt(plan.begins, SPEED, plan.scale, plan.seconds)
    begin = twin_rehearsal.rehearse(day, specs, part, {})
    counts = standing_counts(
        specs,
        begin.outlooks.outlook(day.start_s),
        config.engine,
        day.start_s,
        within_s=HOUR_S / SPEED,
    )
    entering = np.zeros((len(specs), plan.seconds))
    played = begin.script.demand
    for row, drawn in zip(
        played.services, arrivals(played, Streams(plan.seed).child("kubernetes")), strict=True
    ):
        entering[names.index(row)] = drawn
    queues = FluidPlatform(specs, entering, clients_of(config.platform))
    live, about = _on_kubernetes(
        plan, overrides, specs, queues, counts=counts, output=output, say=say
    )
    say("the twin plays the same")
    twin = [
        _in_twin(
            plan,
            overrides,
            day,
            part,
            counts=counts,
            away_s=about["api_away_s"],
            number=number,
            output=output,
        )
        for number in range(plan.replications)
    ]
    said = compared([live], twin, specs, plan.seconds) | {"about": about}
    for row in said["rows"]:  # there is one live run, which differs from no other
        del row["noise"]
        row["difference"] = row["difference"].split(" (live runs")[0]
    (output / "comparison.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return said


def _on_kubernetes(
    plan: RehearsalPlan,
    overrides: Sequence[str],
    specs: tuple[ServiceSpec, ...],
    queues: FluidPlatform,
    *,
    counts: Mapping[str, int],
    output: Path,
    say: Callable[[str], None],
) -> tuple[ClosedLoopRun, dict[str, Any]]:
    """The engine on a control plane of its own; its course, and what was seen besides."""
    from engine.record.schema.summary import read
    from twin.validate.closed import course

    kube = _control_plane()
    with kube.control_plane(kube.tools(), nodes=NODES) as cluster:
        cluster.namespace(NAMESPACE)
        for spec in specs:
            boot = f"{round(spec.boot.median_s * 1000)}ms"
            cluster.workload(NAMESPACE, spec.name, counts[spec.name], boot=boot)
        pods = ReadyPods(cluster, [spec.name for spec in specs])
        kube.until(lambda: pods() == dict(counts), "the pods that stand at the beginning", 600.0)
        say(f"{sum(counts.values())} pods stand ready; the engine begins")
        load = PlayedLoad(specs, queues, pods)
        over = threading.Event()
        starts_s = time.time() + BEGINS_S
        playing = threading.Thread(target=load.play, args=(starts_s, over), daemon=True)
        seen = Troubles(cluster)
        with served(load.page) as address:
            command = _engine(plan, overrides, cluster, address, starts_s=starts_s, output=output)
            with (output / "engine.log").open("wb") as log:
                engine = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
                )
            try:
                playing.start()
                seen.befall(plan, starts_s, engine, say)
                playing.join()
                engine.send_signal(signal.SIGTERM)
                out, _ = engine.communicate(timeout=180)
            finally:
                over.set()
                if engine.poll() is None:
                    engine.kill()
                    engine.wait()
    if engine.returncode != 0:
        raise RuntimeError(f"the engine ended with {engine.returncode}: {output / 'engine.log'}")
    record = ROOT / out.strip().splitlines()[-1]
    events = [
        json.loads(line)
        for line in (record / "events.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    decision = read(record).decision.model_dump()
    about = {
        "record": str(record), "most_ready": load.peak, "unschedulable": seen.unschedulable,
        "api_away_s": seen.away_s, "events": len(events), "actions": decision["actions"],
        "troubles": sorted({str(event.get("kind")) for event in events}),
    }  # fmt: skip
    return course(record, specs, starts_s, plan.seconds), about


def _engine(
    plan: RehearsalPlan,
    overrides: Sequence[str],
    cluster: ControlPlane,
    address: str,
    *,
    starts_s: float,
    output: Path,
) -> list[str]:
    """The command that users type; the page is described by a file of its own."""
    folder = output.absolute()
    kubeconfig = cluster.kubeconfig(folder / "kubeconfig", namespace=NAMESPACE)
    (folder / "own" / "metrics").mkdir(parents=True, exist_ok=True)
    page = {
        "factory": "engine.ingest.scraping:scraped",
        "figures": {name: {"metric": f"rehearsed_{name}", "take": "average"} for name in FIGURES},
        "scraped": None,
        "totals": {n: {"metric": f"rehearsed_{n}_total", "take": "rate"} for n in TOTALS},
        "keep": None,
        "targets": [{"urls": [address]}],
    }
    (folder / "own" / "metrics" / "rehearsed.yaml").write_text(json.dumps(page))
    return [
        sys.executable, "-m", "engine", "run", f"--config-dir={folder / 'own'}", *overrides,
        f"seed={plan.seed}", "infrastructure=kubernetes", "metrics=rehearsed",
        f"infrastructure.options.kubeconfig={kubeconfig}", f"live.state={folder / 'state'}",
        f"output={folder / 'kubernetes'}", f"schedule.from={plan.begins}",
        f"schedule.speed={SPEED}", f"schedule.scale={plan.scale}",
        f"schedule.starts_at={starts_s}",
    ]  # fmt: skip


def _in_twin(
    plan: RehearsalPlan,
    overrides: Sequence[str],
    day: Any,
    part: Any,
    *,
    counts: Mapping[str, int],
    away_s: float,
    number: int,
    output: Path,
) -> ClosedLoopRun:
    """One run of the twin, with the same troubles; the first leaves a record."""
    import numpy as np

    from engine.config.composition import composed
    from twin.commands.reporters import reporter
    from twin.config import parse
    from twin.runs import writing
    from twin.validate.closed import ClosedLoopRun
    from twin.world import rehearsal as twin_rehearsal
    from twin.world.world import World

    raw = composed(
        [
            *overrides, f"seed={plan.seed + number}", f"output={output / 'twin'}",
            "telemetry.lag_s=2.5", "telemetry.loss=0", "telemetry.nan=0", "telemetry.duplicate=0",
            "infrastructure.accept_s=0.1", "infrastructure.drain_s=1",
            "infrastructure.replace_after_s=1",
            f"+faults.full={{kind: capacity_shortage, at: {plan.full_s}, "
            f"duration_s: {plan.full_for_s}}}",
            f"+faults.away={{kind: api_errors, at: {plan.killed_s}, "
            f"duration_s: {max(away_s, 1.0)}, share: 1.0}}",
        ]
    )  # fmt: skip
    config = parse(raw)
    specs = config.platform.specs()
    began, begun_s = dt.datetime.now(dt.UTC), time.perf_counter()
    world = World(config, rehearsal=twin_rehearsal.rehearse(day, specs, part, counts))
    world.run()
    if number == 0:
        writing.write(
            world, raw, command="tools/rehearsal",
            times=writing.RunTimes(began, time.perf_counter() - begun_s, 0.0),
            partial=False, others=(), render=reporter("run"),
        )  # fmt: skip
    cost = sum(
        fleet.instance_seconds(world.now_s) / 3600.0 * fleet.spec.price_per_hour
        for fleet in world.fleets.values()
    )
    ready: FloatArray = world.recorder.counts[:, :, 1].astype(np.float64)
    return ClosedLoopRun(ready, cost, {})


def _control_plane() -> Any:
    """`tests.control_plane`: a library here has a package `tests` of its own, which hides ours."""
    if "tests" not in sys.modules or not hasattr(sys.modules["tests"], "__path__"):
        ours = types.ModuleType("tests")
        ours.__path__ = [str(ROOT / "tests")]
        sys.modules["tests"] = ours
    import importlib

    return importlib.import_module("tests.control_plane")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play it and say what came of it."""
    usual = RehearsalPlan()
    asked = argparse.ArgumentParser(prog="rehearsal.py", description=(__doc__ or "").split("\n")[0])
    asked.add_argument("--output", type=Path, default=Path("outputs/rehearsal"))
    asked.add_argument("--begins", default=usual.begins, help="of the day (%(default)s)")
    asked.add_argument("--scale", type=float, default=usual.scale, help="of its load (%(default)s)")
    asked.add_argument("--seconds", type=int, default=usual.seconds, help="of the clock")
    given = asked.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so the cluster goes down with it
    if given.output.exists():
        asked.error(f"--output: {given.output} is there already")
    least = usual.killed_s + usual.killed_for_s + 60
    if given.seconds < least:
        asked.error(f"--seconds: {given.seconds} is not allowed (at least {least})")
    plan = usual.smaller(begins=given.begins, scale=given.scale, seconds=given.seconds)
    said = rehearse(plan, given.output.absolute())
    for row in said["rows"]:
        mark = "within" if row["within"] else "beyond"
        print(f"{row['what']}: live {row['live']}, twin {row['twin']}, {row['difference']}; "
              f"{mark} {row['limit']}")  # fmt: skip
    print(json.dumps(said["about"], indent=1))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())

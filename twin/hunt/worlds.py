"""Random worlds as plain data: overrides of the configuration tree, so that one is a scenario file.

Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): a world does not have a little of
everything, but leaves most features out, so that those it has can go far.  All worlds are small
(some dozens of instances, less than an hour), and their faults end early enough to see whether the
platform recovers.  World number i of a seed is always the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from scenarios.faults.draw import Draw
from scenarios.faults.registry import KINDS
from twin.config import RunConfig, parse
from twin.hunt import metrics
from twin.hunt.ports import drawn
from twin.hunt.world_faults import faults_of_world, figures_of_kind

World = dict[str, Any]

PHASES = ("getting_ready", "ceremony", "cocktail_hour", "dinner", "party", "after")
ROLES = ("couple", "vendor", "planner")
BESIDES = ("flash_crowd", "slow_service", "cache_flush", "slow_boot")
"""Faults of the platform that go together with those of the metrics."""
METRICS_SETTLE_S = 1020
"""So long a world goes on after the last fault of its metrics: ten minutes, two to look, and a rest
between two steps, so that a step that the other run makes a little later is seen."""
EASY = 10.0
"""A p95 of so many mean service times is kept by a platform with little to do."""
METRICS_SHARED = 4
"""Worlds in a row that are the same but for the faults of their metrics."""
GUESTS = 109.0
"""Mean number of guests who come to a wedding."""
MOST_REQUESTS = 2e5
"""First requests of a world in which each one is simulated, on average over the day's course."""
HEADER = """# @package _global_
# {why}
# Replay: {replay}
"""
REPLAY = "python -m twin run --config-dir {folder} scenario={name}"
REPLAY_HUNTED = "python -m twin hunt --replay {folder}/scenario/{name}.yaml"
OVERRIDES = ["override /platform: blank", "override /demand: blank", "override /faults: none"]


def generate(seed: int, index: int) -> World:
    """World number `index` of the swarm with `seed`."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index])))
    draw = Draw(rng)
    interval_s = draw.one_of([5, 10])
    faulty_s = draw.whole(420, 900)
    duration_s = -(-(faulty_s + draw.whole(780, 1140)) // 60) * 60
    zones = draw.whole(1, 3)
    services = _services(draw)
    population = _population(draw, duration_s)
    resolution = draw.one_of(["fluid", "fluid", "fluid", "request"])
    busy = draw.log(1, 60)  # instances of the first service that users keep busy
    rate = busy * services["web"]["slots"] / services["web"]["service_s"]
    if resolution == "request":
        rate = min(rate, MOST_REQUESTS / duration_s)
    world: World = {
        "scenario": {"name": f"hunt-{seed}-{index}", "description": "found by the hunt"},
        "seed": draw.whole(0, 2**31),
        "resolution": resolution,
        "population": population,
        "platform": {"name": "small", "zones": list("abc"[:zones]), "services": services},
        "demand": _demand(draw, services, rate / (GUESTS * population["simultaneous"])),
        "telemetry": {"interval_s": interval_s},
        "engine": {"sample_s": interval_s, "capacity": {"zones": zones}},
        "faults": faults_of_world(draw, list(services), zones, faulty_s),
    }
    if draw.chance(0.4):
        world["telemetry"] |= _telemetry(draw)
    if draw.chance(0.4):
        world["infrastructure"] = _infrastructure(draw)
    for section, settings in _engine(draw, list(services)).items():
        if isinstance(settings, dict):
            world["engine"].setdefault(section, {}).update(settings)
        else:
            world["engine"][section] = settings
    if draw.chance(0.25):
        world["approval"] = draw.one_of(["automatic", "never", draw.whole(1, 600)])
    if draw.chance(0.2):
        world["operator"] = _operator(draw, list(services), duration_s)
    if draw.chance(0.25):
        world["budget"] = {
            draw.one_of(["usd_per_hour", "instances"]): draw.whole(5, 60),
        }
    return world


def generate_live(seed: int, index: int) -> World:
    """The same world, with faults of the ports of the asyncio shell."""
    world = generate(seed, index)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index, 1])))
    until_s = max(world["population"]["duration_s"] - 780, 300)
    world["ports"] = drawn(rng, until_s)
    if any(fault["port"] == "store" for fault in world["ports"]) and rng.random() < 0.5:
        # Somebody has to be asked, and to answer through the store.
        for fault in world["ports"]:
            if fault["port"] == "store":
                fault |= {"at": 0, "duration_s": until_s}
        world["approval"] = int(rng.integers(1, 120))
        world["engine"] |= {"mode": "act", "approval": {"max_instances": 1}}
    return world


def generate_metrics(seed: int, index: int) -> World:
    """World number `index` of those with faults of the metrics alone.

    `METRICS_SHARED` of them in a row are one world but for these faults, so that it is run without
    them once.  The engine has its defaults, as what it promises of bad metrics it promises with
    those; what else happens to the platform does not depend on how many instances there are, or the
    two runs would part by it.
    """
    rng = np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, index // METRICS_SHARED, 2]))
    )
    draw = Draw(rng)
    faulty_s = draw.whole(420, 1200)
    duration_s = -(-(faulty_s + METRICS_SETTLE_S) // 60) * 60
    zones = draw.whole(1, 3)
    services = _services(draw)
    for service in reversed(services.values()):
        # A service that nobody can please never scales in, and one that costs nothing need not.
        service["price_per_hour"] = draw.one_of([0.1, 0.4, 1.0])
        waits_s = sum(
            call["per_request"] * services[callee]["slo_p95_s"]
            for callee, call in service["calls"].items()
            if not call["asynchronous"]
        )
        own_s = service["service_s"] * EASY * draw.log(1, 3)
        service["slo_p95_s"] = float(f"{own_s + waits_s:.3g}")
    population = _population(draw, duration_s)
    busy = draw.log(1, 60)
    rate = busy * services["web"]["slots"] / services["web"]["service_s"]
    names = list(services)
    world: World = {
        "scenario": {"name": f"metrics-{seed}-{index}", "description": "found by the hunt"},
        "seed": draw.whole(0, 2**31),
        "resolution": "fluid",
        "population": population,
        "platform": {"name": "small", "zones": list("abc"[:zones]), "services": services},
        "demand": _demand(draw, services, rate / (GUESTS * population["simultaneous"])),
        "telemetry": {"interval_s": 5},
        "engine": {"sample_s": 5, "capacity": {"zones": zones}},
        "faults": {},
    }
    for kind in draw.some_of(list(BESIDES), 0, 1):
        at_s = draw.whole(60, faulty_s - 120)
        longest_s = faulty_s - at_s
        fault = {"kind": kind, "at": at_s} | figures_of_kind(
            draw, kind, names, zones, longest_s=longest_s
        )
        if "duration_s" in KINDS[kind].model_fields:
            fault["duration_s"] = draw.whole(60, longest_s)
        world["faults"][kind] = fault
    if draw.chance(0.3):
        unmeasured = draw.some_of(list(metrics.FIGURES), 1, 3)
        world["unmeasured"] = {draw.one_of(names): unmeasured}
    own = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index, 3])))
    return world | {"metrics": metrics.drawn(own, names, faulty_s)}


def configuration(world: Mapping[str, Any]) -> RunConfig:
    """The run that `world` stands for; raises ConfigError where it is not legal."""
    return parse(_merged(_base(), world))


def write(world: Mapping[str, Any], folder: Path, why: str) -> Path:
    """Write `world` as a scenario file that `twin run --config-dir` finds; returns its path."""
    name = str(world["scenario"]["name"])
    path = folder / "scenario" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    replay = REPLAY_HUNTED if {"ports", "metrics"} & set(world) else REPLAY
    header = HEADER.format(why=why, replay=replay.format(folder=folder, name=name))
    body = yaml.safe_dump(
        {"defaults": OVERRIDES, **world}, sort_keys=False, width=100, allow_unicode=True
    )
    path.write_text(header + body.replace(
        "\n".join(f"- '{line}'" for line in OVERRIDES),
        "\n".join(f"- {line}" for line in OVERRIDES),
    ))  # fmt: skip
    return path


def read(path: Path) -> World:
    """The world in a file that `write` wrote; raises ValueError for any other file."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict) or "scenario" not in content:
        raise ValueError(f"{path}: is no scenario file")
    content.pop("defaults", None)
    return content


@lru_cache(maxsize=1)
def _base() -> dict[str, Any]:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("twin", ["platform=blank", "demand=blank", "faults=none"])
        raw = OmegaConf.to_container(config, resolve=True)
    assert isinstance(raw, dict)
    del raw["sweep"]  # its name is the time of day
    # A world takes the place of the default scenario, so what that one sets has to go.
    return {str(key): value for key, value in raw.items()} | {"thresholds": {}}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid over it, mapping by mapping, as Hydra merges."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _population(draw: Draw, duration_s: int) -> dict[str, Any]:
    actual: dict[str, Any] = {}
    if draw.chance(0.3):
        actual = {"actual": {"unbooked_share": draw.real(0, 0.6)}}
    return actual | {
        "simultaneous": int(draw.log(20, 400)),
        "date": draw.one_of(["2027-06-19", "2027-06-20", "2027-10-02", "2027-01-12"]),
        "start_utc": f"{draw.whole(12, 23):02d}:{draw.one_of(['00', '30'])}",
        "duration_s": duration_s,
    }


def _services(draw: Draw) -> dict[str, Any]:
    """One to four services; each may call those after it."""
    names = ["web", "store", "search", "jobs"][: draw.whole(1, 4)]
    services: dict[str, Any] = {}
    for i, name in enumerate(names):
        median_s = draw.log(5, 90)
        service_s = draw.log(0.01, 0.3)
        least = draw.whole(0, 4)
        services[name] = {
            "slots": draw.one_of([1, 2, 4, 8, 16]),
            "service_s": service_s,
            "service_scv": draw.one_of([0.25, 1.0, 2.0, 4.0]),
            "boot": {"median_s": median_s, "p95_s": float(f"{median_s * draw.real(1, 2.5):.3g}")},
            "price_per_hour": draw.one_of([0.0, 0.1, 0.4, 1.0]),
            "slo_p95_s": float(f"{service_s * draw.log(4, 30):.3g}"),
            "warmup_s": draw.one_of([0, 5, 20]),
            "min_instances": least,
            "max_instances": max(least, 1) + draw.one_of([0, 5, 50, 300, 300, 300, 300]),
            "stateful": draw.chance(0.2),
            "user_facing": i == 0 or draw.chance(0.3),
            "calls": {
                callee: {"per_request": draw.log(0.1, 3), "asynchronous": draw.chance(0.3)}
                for callee in draw.some_of(names[i + 1 :], 0, 2)
            },
        }
        if draw.chance(0.4):
            services[name]["client"] = {
                "timeout_s": draw.log(1, 30),
                "max_retries": draw.whole(0, 3),
                "retry_share": draw.real(0, 1),
                "backoff_s": draw.log(0.1, 10),
                "queue_limit_per_slot": draw.log(1, 200),
            }
        if draw.chance(0.3):
            services[name]["thresholds"] = {
                "cpu_up": draw.real(0.55, 0.95),
                "cpu_down": draw.real(0.1, 0.54),
            }
    return services


def _demand(draw: Draw, services: Mapping[str, Any], level: float) -> dict[str, Any]:
    """Guests ask the first service about `level` times a second each, and perhaps the last."""
    names = list(services)
    entered = dict.fromkeys([names[0], *([names[-1]] if draw.chance(0.4) else [])])
    rates: dict[str, Any] = {}
    for name in entered:
        share = 1.0 if name == names[0] else 0.2
        guest = {
            phase: _ranged(float(f"{level * share * draw.log(0.4, 2.5):.3g}")) for phase in PHASES
        }
        nothing = {role: {phase: _ranged(0.0) for phase in PHASES} for role in ROLES}
        rates[name] = nothing | {"guest": guest}
    demand: dict[str, Any] = {"rates": rates}
    if draw.chance(0.5):
        demand["background"] = {
            "users": round(level * GUESTS * 1e4),
            "requests_per_user_day": {names[0]: _ranged(draw.log(1, 100))},
        }
    if draw.chance(0.3):
        demand |= {"day_sigma": draw.real(0, 0.5), "noise_sigma": draw.real(0, 0.3)}
    return demand


def _ranged(rate: float) -> dict[str, Any]:
    return {"rate": rate, "range": [0, 1000]}


def _telemetry(draw: Draw) -> dict[str, Any]:
    return {
        "lag_s": draw.log(0.5, 30),
        "lag_sigma": draw.real(0, 1),
        "loss": draw.log(0.001, 0.3),
        "nan": draw.log(0.001, 0.3),
        "duplicate": draw.log(0.001, 0.3),
    }


def _infrastructure(draw: Draw) -> dict[str, Any]:
    return {
        "accept_s": draw.log(0.1, 60),
        "drain_s": draw.one_of([0.0, 10.0, 60.0]),
        "replace_after_s": draw.one_of([0.0, 15.0, 60.0]),
    }


def _engine(draw: Draw, services: list[str]) -> dict[str, Any]:
    """Some of the settings, anywhere within what they allow."""
    every: dict[str, Any] = {
        "mode": lambda: draw.one_of(["act", "act", "act", "recommend_only"]),
        "cycle_s": lambda: draw.one_of([5.0, 15.0, 30.0, 60.0]),
        "stale_after_s": lambda: draw.log(10, 600),
        "limits": lambda: {
            "step_out": draw.log(0.05, 10),
            "step_in": draw.real(0.05, 0.95),
            "cooldown_out_s": draw.one_of([0.0, 30.0, 120.0, 300.0, 1200.0]),
            "stabilisation_s": draw.one_of([0.0, 60.0, 300.0, 1200.0]),
            "flip_hold_s": draw.one_of([0.0, 60.0, 300.0]),
            "tolerance_out": draw.real(0, 0.3),
            "tolerance_in": draw.real(0, 0.3),
            "cooldown_in_s": draw.one_of([0.0, 30.0, 120.0, 300.0, 1200.0]),
        },
        "capacity": lambda: {
            "max_utilisation": draw.real(0.3, 0.99),
            "max_utilisation_deferred": draw.real(0.3, 0.99),
            "survive_zone_loss": draw.one_of(["critical", "all", "none"]),
        },
        "forecast": lambda: {
            "risk": draw.log(0.001, 0.49),
            "boot_quantile": draw.real(0.5, 0.99),
            "level_drift_per_h": draw.log(0.01, 2),
            "observation_sd": draw.log(0.01, 2),
            "surge_decay_s": draw.log(10, 86_400),
        },
        "weddings": lambda: {
            "lead_s": draw.one_of([0.0, 600.0, 7200.0, 86_400.0]),
            "protection_s": draw.one_of([0.0, 600.0, 7200.0, 86_400.0]),
            "floor_quantile": draw.real(0.5, 0.99),
            "protection_quantile": draw.real(0.5, 0.99),
        },
        "emergency": lambda: {
            "cpu": draw.real(0.5, 1.0),
            "error_rate": draw.log(0.001, 1),
            "queue_per_slot": draw.log(0.01, 100),
            "response_time": draw.log(0.3, 10),
            "confirm": draw.whole(1, 3),
            "target_utilisation": draw.real(0.2, 0.99),
            "most_at_once": draw.log(1.1, 50),
            "calm_s": draw.one_of([0.0, 60.0, 600.0, 3600.0]),
        },
        "fallback": lambda: {
            "mode": draw.one_of(["outlook", "hold", "static"]),
            "instances": draw.whole(0, 20),
        },
        "fallback_by_service": lambda: {
            draw.one_of(services): {"mode": draw.one_of(["outlook", "hold", "static"])}
        },
        "approval": lambda: {
            "max_instances": draw.whole(1, 20),
            "max_cost_per_hour": draw.log(0.1, 100),
            "min_confidence": draw.real(0, 1),
            "expires_s": draw.one_of([0.0, 60.0, 900.0]),
        },
        "cost": lambda: {
            "window_s": draw.log(60, 86_400),
            "flap_hours": draw.real(0, 5),
        },
        "verify": lambda: {
            "settle_s": draw.one_of([0.0, 30.0, 60.0]),
            "watch_s": draw.one_of([0.0, 60.0, 300.0]),
            "worse_error_rate": draw.log(0.001, 0.5),
            "hold_s": draw.one_of([0.0, 300.0, 900.0]),
        },
    }
    return {name: every[name]() for name in draw.some_of(list(every), 0, 4)}


def _operator(draw: Draw, services: list[str], duration_s: int) -> dict[str, Any]:
    at_s = draw.whole(0, duration_s // 2)
    expires_s = at_s + draw.whole(60, duration_s // 2)
    if draw.chance(0.3):
        scale = {
            "service": draw.one_of(services),
            "instances": draw.whole(0, 60),
            "at_s": at_s,
            "expires_s": expires_s,
        }
        return {"scales": [scale]}
    if draw.chance(0.5):
        floor = {
            "service": draw.one_of(services),
            "instances": draw.whole(1, 30),
            "at_s": at_s,
            "expires_s": expires_s,
        }
        return {"floors": [floor]}
    pause = {
        "service": draw.one_of(["", *services]),
        "direction": draw.one_of(["all", "in", "out"]),
        "pinned": draw.one_of([None, None, draw.whole(1, 20)]),
        "at_s": at_s,
        "expires_s": expires_s,
    }
    return {"pauses": [pause]}

"""A calibration: what was fitted, how surely, on what; as a file that `validate` reads again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError
from twin.calibrate.fit import Estimate
from twin.calibrate.knee import KneeStep

SCHEMA = 1
NAME = "calibrated"
FITTED = ("service_s", "service_scv", "boot_median_s", "boot_p95_s", "warmup_s")


@dataclass(frozen=True, slots=True)
class ServiceFit:
    """One service's figures; times in seconds."""

    service_s: Estimate
    service_scv: Estimate
    boot_median_s: Estimate
    boot_p95_s: Estimate
    warmup_s: Estimate
    requests: int
    boots: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything that was fitted.

    `hop_s` is what a request spends between leaving one process and being looked at by the next,
    there and back; `telemetry_lag_s` the time from a scrape until its sample can be queried.
    `saturation` and `knee` are multiples of the mix (1/s).
    """

    services: Mapping[str, ServiceFit]
    hop_s: Estimate
    telemetry_lag_s: Estimate
    saturation: float
    knee: float
    steps: tuple[KneeStep, ...]
    levels: tuple[float, ...]
    driver_late_p99_s: float
    fingerprint: Mapping[str, str]


def platform_text(platform: PlatformConfig, fitted: Calibration) -> str:
    """The platform file: that of the stack with the fitted figures in it, uncertainty beside."""
    raw = platform.model_dump(mode="json")
    raw["name"] = NAME
    for name, fit in fitted.services.items():
        service = raw["services"][name]
        service["service_s"] = _rounded(fit.service_s)
        service["service_scv"] = max(_rounded(fit.service_scv), 0.01)
        median, p95 = _rounded(fit.boot_median_s), _rounded(fit.boot_p95_s)
        service["boot"] = {"median_s": median, "p95_s": max(p95, median)}
        service["warmup_s"] = _rounded(fit.warmup_s)
    lines = [
        "# A platform file measured on a live stack; ± are 95 % intervals.",
        "#",
        *(f"#   {key}: {value}" for key, value in fitted.fingerprint.items()),
        "#",
        f"# A hop costs {fitted.hop_s} s, telemetry lags {fitted.telemetry_lag_s} s.",
        f"# The knee is at {fitted.knee:.4g} times the mix.",
        "#",
    ]
    for name, fit in fitted.services.items():
        lines.append(
            f"# {name}: service_s {fit.service_s}, service_scv {fit.service_scv} "
            f"({fit.requests} requests); boot median {fit.boot_median_s}, p95 {fit.boot_p95_s}, "
            f"warm-up {fit.warmup_s} s ({fit.boots} boots)"
        )
    body = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(lines) + "\n" + body


def write(folder: Path, platform: PlatformConfig, fitted: Calibration) -> None:
    """`calibration.json`, and the platform file where `--config-dir FOLDER` finds it."""
    content = {"schema": SCHEMA, "kind": "calibration", **asdict(fitted)}
    (folder / "calibration.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "platform").mkdir()
    (folder / "platform" / f"{NAME}.yaml").write_text(platform_text(platform, fitted))


def read(folder: Path) -> tuple[PlatformConfig, Calibration]:
    """What `write` wrote; raises ConfigError naming what is missing or cannot be read."""
    try:
        raw: dict[str, Any] = json.loads((folder / "calibration.json").read_text())
        text = (folder / "platform" / f"{NAME}.yaml").read_text()
        if raw.get("schema") != SCHEMA or raw.get("kind") != "calibration":
            raise ValueError(f"calibration.json is no calibration of schema {SCHEMA}")
        return PlatformConfig.model_validate(yaml.safe_load(text)), _calibration(raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"validation.calibration: {folder}: {error}") from None


def _calibration(raw: Mapping[str, Any]) -> Calibration:
    return Calibration(
        services={name: _service(fit) for name, fit in raw["services"].items()},
        hop_s=Estimate(**raw["hop_s"]),
        telemetry_lag_s=Estimate(**raw["telemetry_lag_s"]),
        saturation=raw["saturation"],
        knee=raw["knee"],
        steps=tuple(KneeStep(**step) for step in raw["steps"]),
        levels=tuple(raw["levels"]),
        driver_late_p99_s=raw["driver_late_p99_s"],
        fingerprint=raw["fingerprint"],
    )


def _service(raw: Mapping[str, Any]) -> ServiceFit:
    fitted = {key: Estimate(**raw[key]) for key in FITTED}
    return ServiceFit(**fitted, requests=raw["requests"], boots=raw["boots"])


def _rounded(estimate: Estimate) -> float:
    return float(f"{estimate.value:.4g}")

"""`twin validate` on a real stack: calibrated, compared, taken down."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import warm
from twin.staging import parts

SERVICES = ("api", "database", "file-storage", "real-time", "ai-services")

SHORT = [
    "boots=3", "knee.shares=[0.3,0.4]", "knee.seconds=6", "levels=[0.9]", "seconds=20",
    "warmup_s=2", "validation.levels=[0.75]", "validation.seconds=6", "validation.repeats=2",
    "validation.events=[]", "validation.replications=4", "validation.closed.seconds=0",
    *(f"platform.services.{name}.boot.median_s=1.2" for name in SERVICES),
    *(f"platform.services.{name}.boot.p95_s=1.6" for name in SERVICES),
    *(f"platform.services.{name}.warmup_s=0.3" for name in SERVICES),
    # A machine with other work carries the load all the same, only later.
    *(f"platform.services.{name}.slo_p95_s=60" for name in SERVICES),
    *(f"platform.services.{name}.client.timeout_s=60" for name in SERVICES),
]  # fmt: skip


def twin(*arguments: str) -> subprocess.CompletedProcess[str]:
    with warm.started("twin", *arguments) as command:
        out, err = command.communicate(timeout=1500.0)
        return subprocess.CompletedProcess(command.args, command.wait(), out, err)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine takes its time
def test_a_live_stack_is_calibrated_and_compared_with_its_twin(
    programs: parts.Programs, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        Path(base).chmod(0o711)  # PostgreSQL runs as another user
        folder = Path(base) / "bench"
        done = twin("validate", f"folder={folder}", f"output={tmp_path}", *SHORT)
        assert done.returncode == 0, done.stderr
        assert not folder.exists()  # nothing is left of the stack
    record = Path(done.stdout.strip().splitlines()[-1])
    content = json.loads((record / "validation.json").read_text())
    services = content["calibration"]["services"]
    # On a machine with other work all takes longer, by about as much as the driver itself is late.
    late_s = content["calibration"]["driver_late_p99_s"]
    for name, promised in (("api", 0.16), ("database", 0.06), ("real-time", 0.08)):
        # A worker holds its slots as long as it was told to, and a little longer.
        service_s = services[name]["service_s"]["value"]
        assert 0.85 * promised < service_s < 1.35 * promised + 5.0 * late_s
    assert 0.0 < content["calibration"]["hop_s"]["value"] < 0.1 + 5.0 * late_s
    assert services["api"]["boots"] >= 2
    cell = content["cells"][0]
    # What a busy machine sends late is answered after the seconds that are looked at.
    apart = 0.15 + cell["late_p99_s"] / 4.0
    for run in range(2):
        live, model = cell["live"][run], cell["twin"][run]
        assert live["throughput"]["api"] > 0.0
        # The same arrivals were played in both.
        assert model["throughput"]["real-time"] == pytest.approx(
            live["throughput"]["real-time"], rel=apart
        )
        assert live["failed"]["api"] == 0.0
    report = (record / "report.html").read_text()
    assert report.count("<svg") >= 1
    assert "<script" not in report
    assert 'src="' not in report
    # What was calibrated is a platform that the twin runs.
    run = warm.run(
        "twin",
        "run",
        f"--config-dir={record}",
        "platform=calibrated",
        "population.simultaneous=50",
        "population.duration_s=900",
        f"output={tmp_path / 'runs'}",
        "~thresholds",
    )
    assert run.returncode == 0, run.stderr

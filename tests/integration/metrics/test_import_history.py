"""History from a real server that answers short questions only: in pieces, with its gaps."""

from __future__ import annotations

import csv
import datetime as dt
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.kubernetes.survey import ClusterSurvey
from engine.importing import cluster, files
from engine.importing.figures import ImportedPlatform
from tests import warm
from tests.integration.metrics.conftest import VictoriaMetrics

DAYS, STEP_S = 3, 300
END = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BEGIN_S = (END - dt.timedelta(days=DAYS)).timestamp()
GAP = range(300, 340)
LOAD = 'history.queries.load="sum(last_over_time(load{app=\\"{workload}\\"}[4m]))"'


class Curt(VictoriaMetrics):
    """One that gives no more than 200 points of a series at once."""

    def command(self) -> list[str]:
        return [*super().command(), "-retentionPeriod=12", "-search.maxPointsPerTimeseries=200"]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    if shutil.which("victoria-metrics") is None:
        pytest.skip("victoria-metrics is not installed: sudo apt-get install victoria-metrics")
    folder = tmp_path_factory.mktemp("curt")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    lines = [
        f'load{{app="api",pod="{pod}"}} {value(k) / 2:g} {1000 * (BEGIN_S + (k + 1) * STEP_S):.0f}'
        for k in range(DAYS * 288)
        if k not in GAP
        for pod in ("a", "b")
    ]
    made = Curt(folder)
    try:
        made.start()
        body = "\n".join(lines).encode()
        request = urllib.request.Request(f"{made.url}/api/v1/import/prometheus", body)
        with urllib.request.urlopen(request, timeout=60.0):
            pass
        asked = f"{made.url}/api/v1/query?query=load&time={END.timestamp():.0f}"

        def is_there() -> bool:
            with urllib.request.urlopen(asked, timeout=30.0) as answer:
                return b'"pod":"b"' in answer.read()

        made.wait_until(is_there, "what was sent is not there")
        yield made
    finally:
        made.kill()


def value(step: int) -> float:
    return 10.0 + step % 288


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """The folder in which a cluster was imported."""
    body = {
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "api"}}},
    }
    seen = ClusterSurvey({"deployment/api": body}, (), (), (), ())
    services = cluster.services_of(seen, {"api": "deployment/api"}, {}, "")
    made = ImportedPlatform("shop", "namespace shop", ("a",), "assumed", services)
    files.written(files.platform_files(tmp_path / "mine", made, "typed"), overwrite=False)
    return tmp_path


def asked(folder: Path, *words: str) -> tuple[int, str]:
    if not any(word.startswith("until=") for word in words):
        # A day may end while the tests run.
        words = (*words, f"until={END.isoformat()}")
    ended = warm.run(
        "engine", "import", "prometheus", f"days={DAYS}", "check_days=1", *words, cwd=folder
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_it_comes_in_pieces_gaps_stay_gaps_and_what_is_missing_is_said(
    past: VictoriaMetrics, imported: Path
) -> None:
    code, said = asked(imported, f"metrics.url={past.url}", LOAD)
    assert code == 0, said
    assert "without any value: deployment/api response_s" in said
    assert "call graph: missing" in said
    assert "api: service times stay assumed: not measured: ready, response_s, cores" in said
    with (imported / "mine" / "measured" / "shop" / "load.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == DAYS * 288
    for step, row in enumerate(rows):
        assert float(row["time"]) == BEGIN_S + step * STEP_S
        assert row["api"] == ("" if step in GAP else f"{value(step):.6g}"), step
    platform = files.platform_file(imported / "mine", "shop").read_text()
    assert "calls are missing" in platform
    scenario = (imported / "mine" / "scenario" / "shop.yaml").read_text()
    assert f"date: '{END - dt.timedelta(days=1):%Y-%m-%d}'" in scenario
    code, said = asked(imported, f"metrics.url={past.url}", LOAD)
    assert (code, "overwrite=true" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metrics.url={url}/nothing", LOAD], r"metrics\.url: answered 400 and no JSON"),
        (["metrics.url=http://127.0.0.1:1", LOAD], r"metrics\.url: cannot be asked"),
        ([LOAD], r"metrics\.url: is missing"),
        (["metrics.url={url}"], r"history\.queries\.load: has no value for any service"),
        (
            ["metrics.url={url}", 'history.queries.load="load{app=\\"api\\"}"'],
            r"history\.queries\.load: gives 2 series of one service, told apart by .*pod",
        ),
        (
            ["metrics.url={url}", 'history.queries.load="sum(rate("'],
            r"history\.queries\.load: the server answered 4\d\d",
        ),
        (["metrics.url={url}", LOAD, "name=other"], r"name: mine/import/other\.json is not there"),
        (["metrics.url={url}", LOAD, "check_days=3"], r"check_days: 3 leaves nothing of days=3"),
        (["metrics.url={url}", LOAD, "until=2026-01-01T00:00:00"], r"until: give an offset"),
        (["metrics.url={url}", LOAD, "time_zone=Mars"], r'time_zone: "Mars" is not an IANA'),
        (["metrics.url={url}", "~history.queries.load"], r"queries\.load: is missing"),
        (["metrics.url={url}", "+history.queries.lod=x"], r'"lod" is not allowed'),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    past: VictoriaMetrics, imported: Path, words: list[str], said: str
) -> None:
    before = files.platform_file(imported / "mine", "shop").read_text()
    code, error = asked(imported, *(word.replace("{url}", past.url) for word in words))
    assert code == 2
    assert re.search(said, error), error
    assert not (imported / "mine" / "measured").exists()
    assert files.platform_file(imported / "mine", "shop").read_text() == before

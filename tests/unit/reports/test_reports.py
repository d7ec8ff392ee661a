"""What every report must be: complete, safe to open, the same each time, and clear about errors.

It is long because every kind of report is asked the same questions.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

import reports
from reports.__main__ import main
from reports.run import plots, reading

Make = Callable[..., Any]
PACKAGES = tuple(Path(reports.__file__).parent.glob("*/__init__.py"))
HOSTILE = '<img src=x onerror="alert(1)">|`@team`$\\frac{1}{2}$ & "co" 日本'
FILES = ("report.html", "report.md", "junit.xml")


class Page(HTMLParser):
    """Collects what a browser would fetch, the ids, and whether all elements are closed."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.targets.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


ONE = {"api": (0.31, 400.0, 0.5, 0.096, 60)}
"""Services of a record for what does not depend on them: most of the time goes into their plots."""


def written(folder: Path) -> tuple[Page, str, ET.Element]:
    reports.write(folder)
    return parsed(folder)


def parsed(folder: Path) -> tuple[Page, str, ET.Element]:
    page, text, xml = ((folder / name).read_text(encoding="utf-8") for name in FILES)
    return Page(page), text, ET.fromstring(xml)


def tables(markdown: str) -> list[list[str]]:
    """Runs of lines that are table rows, code blocks left out."""
    runs_of_lines: list[list[str]] = [[]]
    fence = ""
    for line in markdown.splitlines():
        mark = re.match(r"`{3,}", line)
        if mark and (not fence or line == fence):
            fence = "" if fence else mark[0]
        if not fence and line.startswith("|"):
            runs_of_lines[-1].append(line)
        elif runs_of_lines[-1]:
            runs_of_lines.append([])
    return [rows for rows in runs_of_lines if rows]


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


@pytest.fixture
def copied(small_record: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_record, tmp_path / "record"))


@pytest.fixture(scope="module")
def reported(small_record: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small record with its report."""
    folder = shutil.copytree(small_record, tmp_path_factory.mktemp("reported") / "record")
    reports.write(folder)
    return folder


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(reported: Path) -> None:
    page, _, _ = parsed(reported)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(target.startswith("#") for target in page.targets)
    assert {target[1:] for target in page.targets} <= set(page.ids)
    raw = (reported / "report.html").read_text(encoding="utf-8")
    outside = re.findall(r"https?://[^\s\"'<>]+", raw)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}  # a name of a language, no address
    assert "script" not in page.tags
    assert "@import" not in raw
    assert not re.search(r"url\((?!#)", raw)


def test_all_plots_are_in_the_page_and_their_texts_are_texts(reported: Path) -> None:
    run = reading.load(reported)
    drawn = plots.draw(run)
    page, _, _ = parsed(reported)
    raw = (reported / "report.html").read_text(encoding="utf-8")
    everything = [drawn.weddings, drawn.cost, drawn.latency, *drawn.services.values()]
    assert len(drawn.services) == len(run.services)
    for plot in everything:
        assert plot is not None
        assert plot.svg in raw
        ET.fromstring(plot.svg)
    assert "p95 response time" in "".join(page.text)
    assert "viral moment" in "".join(page.text)


@pytest.mark.parametrize("missing", ["emergencies", "nothing"])
def test_the_verdict_is_said_in_words(made: Make, tmp_path: Path, missing: str) -> None:
    whole = made(services=ONE, actions=missing == "nothing")
    for threshold in whole.summary["thresholds"]:
        threshold["outcome"] = "passed" if missing == "nothing" else "failed"
    page, text, xml = written(whole.write(tmp_path / "r"))
    said = " ".join("".join(page.text).split())
    if missing == "nothing":
        assert "✓ passed" in said
        assert "FAILED" not in said + text
        assert xml.findall(".//failure") == []
    else:
        assert "✗ failed" in said
        assert "✗ FAILED" in said
        assert "4 of 4 limits not kept" in said
        assert len(xml.findall(".//failure")) == 4


def test_the_same_record_gives_the_same_bytes(
    small_record: Path, reported: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_record, tmp_path / "again"))
    done = subprocess.run(
        [sys.executable, "-m", "reports", str(folder)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip() == str(folder / "report.html")
    for file in FILES:
        assert (folder / file).read_bytes() == (reported / file).read_bytes()


def test_hostile_names_are_shown_and_do_nothing(made: Make, tmp_path: Path) -> None:
    services = {HOSTILE: (0.3, 400.0, 0.5, 0.1, 60), "$x_1$": (0.3, 400.0, 0.5, 0.1, 60)}
    whole = made(120, services)
    whole.summary |= {
        "scenario": HOSTILE,
        "description": HOSTILE,
        "command": HOSTILE + "\x00\ud800",
    }
    whole.summary["thresholds"][0] |= {"name": HOSTILE + "\x1b", "outcome": "failed"}
    whole.events[0]["name"] = whole.events[1]["name"] = HOSTILE
    whole.weddings = whole.weddings.rename(columns={"dinner": HOSTILE})
    whole.decisions["why"] = whole.decisions["why"].mask(whole.decisions["why"] != "", HOSTILE)
    whole.config["scenario"] = {"name": "```` </code></pre><script>"}
    folder = whole.write(tmp_path / "r")
    page, text, xml = written(folder)
    assert "img" not in page.tags
    assert "script" not in page.tags
    assert page.open == []
    assert HOSTILE.split("|")[0] in "".join(page.text)
    assert "日本" in "".join(page.text)
    prose = re.sub(r"(?ms)^(`{3,})[a-z]*\n.*?^\1$", "", text)
    assert "<img" not in prose
    assert "@team" not in prose
    assert all(cells(row) == cells(rows[0]) for rows in tables(text) for row in rows)
    assert len(xml.findall(".//testcase")) == 4


def test_markdown_tables_are_well_formed(reported: Path) -> None:
    _, text, _ = parsed(reported)
    all_tables = tables(text)
    assert len(all_tables) >= 8
    for rows in all_tables:
        assert re.fullmatch(r"\|(?: (?:---|---:) \|)+", rows[1])
        assert all(cells(row) == cells(rows[0]) for row in rows)
    for heading in ("Limits", "Services", "Cost", "Reproduce", "What this does not show"):
        assert f"\n## {heading}\n" in text
    assert "python -m twin run scenario=june_peak seed=1" in text


def test_page_and_markdown_say_the_same(reported: Path) -> None:
    page, text, _ = parsed(reported)
    said = " ".join("".join(page.text).split())
    plain = " ".join(re.sub(r"\\(.)", r"\1", text).replace("&lt;", "<").split())
    decisions = re.findall(r"\d+\. \*\*(\S+) (\S+) (\d+) →", text)
    assert len(decisions) == 10
    for at, service, before in decisions:
        assert at in said
        assert f"{service} {before} →" in said
    for sentence in re.findall(r"\*\*(The .*?)\*\*", plain):
        assert sentence in said


def test_every_threshold_is_a_case_and_a_failure_states_value_and_limit(
    made: Make, tmp_path: Path
) -> None:
    whole = made(60, ONE)
    whole.summary["thresholds"] = [
        {"name": "kept", "metric": "slo.availability", "operator": ">=", "limit": 0.999,
         "value": 0.9995, "outcome": "passed"},
        {"name": "broken", "metric": "slo.violation_ratio", "operator": "<=", "limit": 0.0005,
         "value": 0.0125, "outcome": "failed"},
        {"name": "unknown", "metric": "decision.emergency_s.max", "operator": "<=", "limit": 30,
         "value": None, "outcome": "failed"},
        {"name": "idle", "metric": "decision.emergency_s.p95", "operator": "<=", "limit": 30,
         "value": None, "outcome": "not judged",
         "reason": "there was nothing to judge: decision.emergency_s.count is 0"},
    ]  # fmt: skip
    page, text, xml = written(whole.write(tmp_path / "r"))
    suite = xml.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert cases["kept"].find("failure") is None
    messages = {name: f.get("message") for name, c in cases.items() for f in c.findall("failure")}
    assert messages["broken"] == "slo.violation_ratio is 0.0125, the limit is <= 0.0005"
    assert messages["unknown"] == "decision.emergency_s.max is not measured, the limit is <= 30"
    (skipped,) = cases["idle"].findall("skipped")
    reason = "there was nothing to judge: decision.emergency_s.count is 0"
    assert skipped.get("message") == reason
    said = " ".join("".join(page.text).split())
    for place in (said, " ".join(re.sub(r"\\(.)", r"\1", text).split())):
        assert "2 of 4 limits not kept: broken, unknown. 1 of 4 limits not judged: idle" in place
        assert "○ not judged" in place
        assert reason in place


def test_a_run_of_which_no_limit_was_judged_has_not_passed(made: Make, tmp_path: Path) -> None:
    whole = made(60, ONE)
    for threshold in whole.summary["thresholds"]:
        threshold |= {"outcome": "not judged", "value": None}
    page, text, xml = written(whole.write(tmp_path / "r"))
    said = " ".join("".join(page.text).split())
    assert "passed" not in said + text
    assert "4 of 4 limits not judged" in said
    assert len(xml.findall(".//skipped")) == 4


@pytest.mark.parametrize("samples", [0, 1, 2, 40])
def test_an_interrupted_run_is_called_partial(made: Make, tmp_path: Path, samples: int) -> None:
    whole = made(samples, ONE, interval_s=5.0)
    whole.summary["partial"] = True
    for threshold in whole.summary["thresholds"]:
        threshold["outcome"] = "passed"
    page, text, xml = written(whole.write(tmp_path / "r"))
    said = " ".join("".join(page.text).split())
    assert "◐ partial" in said
    assert "This run was interrupted after" in said
    assert "◐ partial" in text
    assert len(xml.findall(".//skipped")) == 4


def test_a_run_without_actions_faults_forecasts_or_limits_is_reported(
    made: Make, tmp_path: Path
) -> None:
    whole = made(120, ONE, actions=False, faults=False)
    whole.decisions = whole.decisions.iloc[:0]
    for column in ("forecast_q10", "forecast_q50", "forecast_q90"):
        whole.timeline[column] = np.nan
    whole.timeline["p95_s"] = np.nan
    nothing = dict.fromkeys(("p50", "p95", "p99", "max"))
    whole.summary["decision"] |= {
        "actions": 0, "by_reason": {}, "trigger_to_execution_s": nothing,
        "emergency_s": {"count": 0, **nothing},
    }  # fmt: skip
    whole.summary |= {"prediction": {}, "thresholds": []}
    page, text, xml = written(whole.write(tmp_path / "r"))
    said = " ".join("".join(page.text).split())
    for sentence in (
        "This run has no limits to keep.",
        "The controller took no action.",
        "No recommendation was declined.",
        "No forecast fell due in this run.",
        "Nothing was broken on purpose in this run.",
    ):
        assert sentence in said
        assert sentence in text
    assert "forecast 15 min before" not in said
    assert xml.findall(".//testcase") == []


@pytest.mark.parametrize("number", [1, 12])
def test_any_number_of_services_fits(made: Make, tmp_path: Path, number: int) -> None:
    services = {f"service-{i}": (0.3 / (i + 1), 400.0, 0.5, 0.1, 60) for i in range(number)}
    folder = made(2000, services).write(tmp_path / "r")
    page, _, _ = written(folder)
    assert sum(f"service-{i}" in page.ids for i in range(1, number + 1)) == number
    assert (folder / "report.html").stat().st_size < 5_000_000


def test_a_whole_day_stays_below_two_megabytes(made: Make, tmp_path: Path) -> None:
    folder = made(17_280).write(tmp_path / "r")
    reports.write(folder)
    assert (folder / "report.html").stat().st_size < 2_000_000


def test_what_a_later_version_adds_is_ignored(made: Make, tmp_path: Path) -> None:
    whole = made(60, ONE)
    whole.summary["novelty"] = {"a": [1]}
    whole.summary["slo"]["novelty"] = "x"
    whole.summary["services"]["api"]["novelty"] = None
    whole.events.append({"time_s": 1.0, "kind": "novelty", "extra": [1, 2]})
    whole.timeline["novelty"] = "x"
    whole.decisions["novelty"] = 1
    reports.write(whole.write(tmp_path / "r"))


def edit_summary(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))


def drop_column(folder: Path, table: str, column: str) -> None:
    path = folder / f"{table}.parquet"
    pd.read_parquet(path).drop(columns=column).to_parquet(path)


BROKEN = {
    "no summary": (lambda f: (f / "summary.json").unlink(), "summary.json: is missing"),
    "cut summary": (lambda f: (f / "summary.json").write_text('{"schema"'), "is not JSON"),
    "list for a summary": (lambda f: (f / "summary.json").write_text("[]"), "summary.json: "),
    "no field": (
        lambda f: edit_summary(f, lambda s: s["slo"].pop("availability")),
        "summary.json: slo.availability: is missing",
    ),
    "text for a figure": (
        lambda f: edit_summary(f, lambda s: s["services"]["api"].update(cost_usd="dear")),
        "summary.json: services.api.cost_usd: ",
    ),
    "another schema": (lambda f: edit_summary(f, lambda s: s.update(schema=2)), "schema: "),
    "no table": (lambda f: (f / "weddings.parquet").unlink(), "weddings.parquet: is missing"),
    "no Parquet": (
        lambda f: (f / "timeline.parquet").write_text("x"),
        "timeline.parquet: is not a readable Parquet file",
    ),
    "no column": (
        lambda f: drop_column(f, "timeline", "p95_s"),
        "timeline.parquet: p95_s: the column is missing",
    ),
    "no text column": (
        lambda f: drop_column(f, "decisions", "explanation"),
        "decisions.parquet: explanation: the column is missing",
    ),
    "unknown service": (
        lambda f: edit_summary(f, lambda s: s["services"].pop("api")),
        "timeline.parquet: service: 'api' is not in summary.json",
    ),
    "broken event": (
        lambda f: (f / "events.jsonl").write_text('{"time_s": 1, "kind": "x"}\n{"time'),
        "events.jsonl: line 2: no JSON",
    ),
    "event without a time": (
        lambda f: (f / "events.jsonl").write_text('{"kind": "x"}\n'),
        "events.jsonl: line 1: time_s: is missing",
    ),
    "broken config": (lambda f: (f / "config.yaml").write_text("a: ["), "config.yaml: is not YAML"),
    "config of another shape": (
        lambda f: (f / "config.yaml").write_text("- a\n"),
        "config.yaml: is not a mapping",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_refused_in_one_line_naming_file_and_field(
    copied: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = BROKEN[case]
    spoil(copied)
    assert main([str(copied)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {copied}")
    assert expected in printed.err
    assert printed.err.count("\n") == 1
    assert not any((copied / name).exists() for name in FILES)


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_each_mark_names_a_report_that_there_is() -> None:
    assert set(reports.MARKS.values()) < {path.parent.name for path in PACKAGES}
    for report in reports.MARKS.values():
        assert callable(import_module(f"reports.{report}.content").render)


def test_the_report_of_a_bundle_is_made_again_and_not_that_of_its_plan(tmp_path: Path) -> None:
    for name in ("statement.json", "results.json", "plan.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(reports.RecordError, match=r"statement\.json: 'subject'"):
        reports.write_whatever(tmp_path)

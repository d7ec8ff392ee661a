"""`junit.xml`: one test case for each threshold, for build servers that know no other language.

A threshold that an interrupted run happens to keep is not passed but skipped: the rest of the day
might have broken it.  So is one that could not be judged, with the reason.
"""

from __future__ import annotations

import datetime as dt
import re
from xml.etree import ElementTree as ET

from engine.record.schema.summary import Summary, Threshold
from reports import wording

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def render(summary: Summary) -> str:
    """The test suite of `summary` as XML text."""
    failures = [t for t in summary.thresholds if t.outcome == "failed"]
    skipped = [
        t for t in summary.thresholds
        if t.outcome == "not judged" or (t.outcome == "passed" and summary.partial)
    ]  # fmt: skip
    attributes = {
        "name": _clean(f"wedtwin.{summary.scenario}"),
        "tests": str(len(summary.thresholds)),
        "failures": str(len(failures)),
        "errors": "0",
        "skipped": str(len(skipped)),
        "time": f"{summary.simulation.wall_s or 0.0:.3f}",
        "timestamp": _timestamp(summary.started_at),
    }
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("scenario", summary.scenario),
        ("controller", summary.controller),
        ("seed", str(summary.seed)),
        ("resolution", summary.resolution),
        ("world", summary.world),
        ("partial", str(summary.partial).lower()),
        ("command", summary.command),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for threshold in summary.thresholds:
        case = ET.SubElement(
            suite,
            "testcase",
            {
                "classname": _clean(f"{summary.scenario}.{summary.controller}"),
                "name": _clean(threshold.name),
                "time": "0",
            },
        )
        text = _clean(_judgement(threshold))
        if threshold.outcome == "failed":
            failure = ET.SubElement(case, "failure", {"message": text, "type": "threshold"})
            failure.text = text
        elif threshold.outcome == "not judged":
            message = _clean(threshold.reason or "there was nothing to judge")
            ET.SubElement(case, "skipped", {"message": message})
        elif summary.partial:
            message = _clean(f"the run was interrupted; so far {_judgement(threshold)}")
            ET.SubElement(case, "skipped", {"message": message})
        else:
            ET.SubElement(case, "system-out").text = text
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _judgement(threshold: Threshold) -> str:
    value = "not measured" if threshold.value is None else f"{threshold.value:.6g}"
    return f"{threshold.metric} is {value}, the limit is {threshold.operator} {threshold.limit:.6g}"


def _timestamp(started_at: str) -> str:
    """The start in UTC without a zone, as the schema of most readers wants it."""
    try:
        when = dt.datetime.fromisoformat(started_at)
    except ValueError:
        return wording.NOTHING
    when = when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}"


def _clean(text: str) -> str:
    """`text` without the control characters that XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("�", text)

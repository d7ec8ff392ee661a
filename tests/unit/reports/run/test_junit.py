"""The report for a build server."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from reports.run import junit, reading


def test_junit_text_is_xml_whatever_the_names(small_record: Path) -> None:
    summary = reading.load(small_record).summary
    odd = summary.model_copy(update={"scenario": '\x00\ud800<&>"', "started_at": "whenever"})
    assert ET.fromstring(junit.render(odd)).find("testsuite") is not None

"""One log in two forms: what is for people on a terminal is JSON in a pipe."""

import contextlib
import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import structlog

from engine.runtime import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_in_a_pipe_is_json_whoever_logs_it() -> None:
    stream = io.StringIO()
    log.set_up(stream)
    structlog.stdlib.get_logger("engine.commands.run").info(
        "api: 2 → 3\nfor a reason", time_s=1.5, decision_id="api-1"
    )
    logging.getLogger("engine.adapters.pool").warning(
        "%s died", "api-2", extra={"instance": "api-2"}
    )
    logging.getLogger("asyncio").error("a task was never awaited")
    ours, adapter, library = lines(stream)
    assert ours == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "logger": "engine.commands.run",
        "event": "api: 2 → 3\nfor a reason",
        "decision_id": "api-1",
    }
    assert (adapter["level"], adapter["event"], adapter["instance"]) == (
        "warning", "api-2 died", "api-2",
    )  # fmt: skip
    assert library["event"] == "a task was never awaited"


def test_libraries_only_warn() -> None:
    stream = io.StringIO()
    log.set_up(stream)
    logging.getLogger("httpx").info("HTTP Request: GET …")
    assert stream.getvalue() == ""


def test_an_exception_is_logged_with_where_it_was_raised_and_without_the_values_there() -> None:
    for stream in (io.StringIO(), Terminal()):
        log.set_up(stream)
        try:
            token = "".join(("hun", "ter2"))
            raise RuntimeError(f"of {len(token)} letters")
        except RuntimeError:
            structlog.stdlib.get_logger("engine").exception("it failed")
        assert "RuntimeError: of 7 letters" in stream.getvalue()
        assert "test_log.py" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()


def test_a_terminal_gets_the_time_of_day_the_text_and_its_fields() -> None:
    stream = Terminal()
    log.set_up(stream)
    structlog.stdlib.get_logger("engine").info("api: 2 → 3", time_s=3661.0, decision_id="api-1")
    plain = stream.getvalue()
    for code in ("[0m", "[1m", "[2m", "[35m", "[36m"):
        plain = plain.replace(f"\x1b{code}", "")
    assert plain == "01:01:01 api: 2 → 3 decision_id=api-1\n"


def test_setting_up_again_leaves_one_log() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.set_up(first)
    log.set_up(second)
    structlog.stdlib.get_logger("engine").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_a_log_that_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone, Path(os.devnull).open("w") as nowhere:
        log.set_up(gone)
        monkeypatch.setattr(sys, "stderr", nowhere)
        structlog.stdlib.get_logger("engine").info("is anybody there?")
        with contextlib.suppress(BrokenPipeError):
            gone.close()


def test_libraries_only_warn_whatever_was_set_before() -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    stream = io.StringIO()
    log.set_up(stream)
    logging.getLogger("httpx").info("HTTP Request: GET …")
    logging.getLogger("httpx").warning("Retrying …")
    assert [line["event"] for line in lines(stream)] == ["Retrying …"]


def test_a_terminal_is_told_the_level_of_what_is_not_well() -> None:
    stream = Terminal()
    log.set_up(stream)
    structlog.stdlib.get_logger("engine").warning("it is late", time_s=3661.0)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert plain == "01:01:01 [warning] it is late\n"


def test_figures_of_numpy_are_numbers_in_a_pipe_and_anything_else_is_its_text() -> None:
    stream = io.StringIO()
    log.set_up(stream)
    structlog.stdlib.get_logger("engine").info(
        "seen", count=np.int64(3), rate=np.float64(0.5), folder=Path("state/engine")
    )
    (line,) = lines(stream)
    assert (line["count"], line["rate"], line["folder"]) == (3, 0.5, "state/engine")


def test_the_log_is_on_stderr_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.set_up()
    structlog.stdlib.get_logger("engine").info("here")
    assert [line["event"] for line in lines(stream)] == ["here"]

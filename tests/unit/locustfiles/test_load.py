"""Locust as a user runs it: in a process of its own, against a real server on the loopback."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.load

Seen = list[tuple[str, str, str, bytes]]


@pytest.fixture
def platform() -> Iterator[tuple[str, Seen]]:
    """A server that accepts whatever belongs to a wedding, and what it was sent."""
    seen: Seen = []

    class Wedding(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.path, self.headers.get("Content-Type", ""), body))
            known = re.fullmatch(r"/weddings/\d+(/[a-z-]+)?", self.path)
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = answer

        def log_message(self, *args: object) -> None:
            """Quiet: requests are kept in `seen`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Wedding) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def locust(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "locust", "--headless", "--only-summary", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_class_makes_requests_and_none_fails(
    repository: Path, tmp_path: Path, platform: tuple[str, Seen]
) -> None:
    host, seen = platform
    # fmt: off
    ended = locust(
        repository, "-f", "locustfiles/wedsync.py", "--host", host, "-u", "40", "-r", "40",
        "-t", "4s", "--activity", "100", "--speed", "7200", "--weddings", "5",
        "--csv", str(tmp_path / "load"),
    )
    # fmt: on
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "load_stats.csv").open(newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    assert int(rows["Aggregated"]["Request Count"]) > 100
    assert int(rows["Aggregated"]["Failure Count"]) == 0
    assert {"/weddings/{id}/updates", "/weddings/{id}/photos"} <= set(rows)
    assert {re.findall(r"\d+", path)[0] for _, path, _, _ in seen} == {"1", "2", "3", "4", "5"}
    photos = [entry for entry in seen if entry[1].endswith("/photos")]
    assert all(kind == "image/jpeg" and len(body) == 2050 for _, _, kind, body in photos)
    answers = [body for _, path, _, body in seen if path.endswith("/rsvp")]
    assert answers
    assert all(json.loads(body) == {"answer": "yes"} for body in answers)


def test_the_number_of_users_follows_the_curve_and_stops_at_its_end(
    repository: Path, tmp_path: Path, platform: tuple[str, Seen]
) -> None:
    host, seen = platform
    curve = tmp_path / "curve.csv"
    curve.write_text("time_s,users\n0,200\n200,200\n201,1000\n500,1000\n")
    # fmt: off
    ended = locust(
        repository, "-f", "locustfiles/wedsync.py,locustfiles/shape.py", "--host", host,
        "--curve", str(curve), "--speed", "100", "--scale", "0.02", "--activity", "200",
        "--csv", str(tmp_path / "load"), "--csv-full-history",
    )
    # fmt: on
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "load_stats_history.csv").open(newline="") as file:
        users = [int(row["User Count"]) for row in csv.DictReader(file)]
    assert max(users) == 20
    assert 4 in users
    assert seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--curve: name a CSV file with the columns time_s,users"),
        (["--curve", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--curve", "", "--speed", "-1"], "'-1' is not allowed (a finite number above 0)"),
        (["--weddings", "2.5"], "'2.5' is not allowed (a whole number from 1 on)"),
    ],
)
def test_wrong_options_end_before_any_load_with_one_message(
    repository: Path, platform: tuple[str, Seen], arguments: list[str], message: str
) -> None:
    host, seen = platform
    files = "locustfiles/wedsync.py,locustfiles/shape.py"
    ended = locust(repository, "-f", files, "--host", host, "-t", "2s", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not seen

"""What HAProxy says on its admin socket, played by a socket of our own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.adapters.pool.runtime_api import RuntimeApi, RuntimeApiError, ServerState

STAT = """# pxname,svname,qcur,qmax,scur,status,
api,api-1,0,0,3,UP,
api,api-2,0,0,,MAINT,
database,database-1,0,0,0,DOWN,"""


@contextmanager
def haproxy(folder: Path, answers: Mapping[str, str]) -> Iterator[tuple[RuntimeApi, list[str]]]:
    """A socket that answers commands by their beginning, and what it was asked."""
    asked: list[str] = []
    path = folder / "admin"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    command = connection.makefile().readline().strip()
                    if command == "end":
                        return
                    asked.append(command)
                    for beginning, answer in answers.items():
                        if command.startswith(beginning):
                            connection.sendall(f"{answer}\n\n".encode())

        thread = threading.Thread(target=serve)
        thread.start()
        api = RuntimeApi(path)
        yield api, asked
        api.ask("end")
        thread.join()


def test_servers_are_read_with_what_is_under_way_on_them(tmp_path: Path) -> None:
    with haproxy(tmp_path, {"show stat": STAT}) as (api, _):
        servers = api.servers()
    assert servers == {
        "api/api-1": ServerState(3, "UP"),
        "api/api-2": ServerState(0, "MAINT"),
        "database/database-1": ServerState(0, "DOWN"),
    }
    assert [(s.up, s.down) for s in servers.values()] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_a_server_is_added_and_only_then_enabled(tmp_path: Path) -> None:
    with haproxy(tmp_path, {"add server": "New server registered."}) as (api, asked):
        api.add("api/api-3", "127.0.0.1:4003", "check")
    assert asked == [
        "add server api/api-3 127.0.0.1:4003 check",
        "enable health api/api-3",
        "set server api/api-3 state ready",
    ]


def test_a_server_that_is_there_already_is_enabled(tmp_path: Path) -> None:
    with haproxy(tmp_path, {"add server": "Already exists a server with the same name"}) as (
        api,
        asked,
    ):
        api.add("api/api-3", "127.0.0.1:4003", "check")
    assert asked[-1] == "set server api/api-3 state ready"


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("Server deleted.", True),
        ("No such server.", True),
        ("Server still has connections attached to it, cannot remove it.", False),
    ],
)
def test_a_server_is_gone_when_haproxy_says_so(tmp_path: Path, answer: str, gone: bool) -> None:
    with haproxy(tmp_path, {"del server": answer}) as (api, asked):
        assert api.remove("api/api-1") is gone
    assert asked == [
        "set server api/api-1 state maint",
        "shutdown sessions server api/api-1",
        "del server api/api-1",
    ]


@pytest.mark.parametrize("command", ["add", "drain", "remove", "servers"])
def test_a_refusal_is_an_error_with_haproxys_words(tmp_path: Path, command: str) -> None:
    answers = {"": "Permission denied"}
    with haproxy(tmp_path, answers) as (api, _):
        calls = {
            "add": lambda: api.add("api/x", "127.0.0.1:1", ""),
            "drain": lambda: api.drain("api/x"),
            "remove": lambda: api.remove("api/x"),
            "servers": api.servers,
        }
        with pytest.raises(RuntimeApiError, match="Permission denied"):
            calls[command]()


def test_no_answer_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(RuntimeApiError, match="admin does not answer: No such file"):
        RuntimeApi(tmp_path / "admin").ask("show version")

"""What HAProxy says on its admin socket, played by a socket of our own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.adapters.pool.runtime_api import BACK, RuntimeApi, RuntimeApiError, ServerState

STAT = """# pxname,svname,qcur,qmax,scur,status,weight,check_status,
api,api-1,0,0,3,UP,1,L7OK,
api,api-2,0,0,,MAINT,1,,
api,api-3,0,0,0,DOWN,1,L7STS,
database,database-1,0,0,0,DOWN,1,L4CON,"""

STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 api 1 api-1 127.0.0.1 2 0 1
3 api 2 api-2 127.0.0.1 0 1 1
3 api 3 api-3 127.0.0.1 0 8 1
4 database 1 database-1 127.0.0.1 0 0 1"""


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


def test_servers_are_read_with_what_is_under_way_on_them_and_was_ordered_of_them(
    tmp_path: Path,
) -> None:
    with haproxy(tmp_path, {"show stat": f"{STAT}\n\n{STATE}"}) as (api, asked):
        servers = api.servers()
    assert asked == ["show stat -1 4 -1;show servers state"]
    assert servers == {
        "api/api-1": ServerState(3, "UP"),
        "api/api-2": ServerState(0, "MAINT", admin=1, checked=False),
        "api/api-3": ServerState(0, "DOWN", admin=8),
        "database/database-1": ServerState(0, "DOWN"),
    }
    assert [(s.up, s.down) for s in servers.values()] == [
        (True, False),
        (False, False),
        (False, False),  # on drain by order, and ill besides
        (False, True),
    ]


@pytest.mark.parametrize(
    ("state", "by_hand", "up", "down"),
    [
        (ServerState(0, "UP"), (), True, False),
        (ServerState(0, "UP 1/2"), (), True, False),
        (ServerState(0, "DOWN"), (), False, True),
        (ServerState(0, "DOWN 1/2"), (), False, True),
        (ServerState(0, "MAINT", checked=False), ("MAINT",), False, False),
        (ServerState(0, "MAINT (via web/w-1)", admin=2, checked=False), ("MAINT",), False, False),
        (ServerState(0, "MAINT (resolution)", 0, 32, False), ("MAINT",), False, False),
        (ServerState(4, "DRAIN", admin=8), ("DRAIN",), False, False),
        (ServerState(4, "DRAIN 1/2", admin=16), ("DRAIN",), False, False),
        (ServerState(4, "DRAIN", 0, 8), ("DRAIN", "weight 0"), False, False),
        (ServerState(0, "DOWN", admin=16), ("DRAIN",), False, False),
        (ServerState(0, "UP", weight=0), ("weight 0",), False, False),
        (ServerState(0, "DOWN", weight=0), ("weight 0",), False, False),
        (ServerState(0, "NOLB"), ("health stopping",), False, False),
        (ServerState(0, "DOWN (agent)"), ("agent down",), False, False),
        (
            ServerState(0, "DOWN", checked=False),
            ("health down", "health check disabled"), False, False,
        ),
        (ServerState(0, "no check", checked=False), ("health check disabled",), True, False),
    ],
)  # fmt: skip
def test_what_somebody_did_by_hand_is_told_from_what_the_health_check_says(
    state: ServerState, by_hand: tuple[str, ...], up: bool, down: bool
) -> None:
    assert (state.by_hand, state.up, state.down) == (by_hand, up, down)
    assert set(by_hand) <= set(BACK)


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


def test_a_server_that_is_not_to_serve_takes_no_more_than_to_be_set_ready(tmp_path: Path) -> None:
    with haproxy(tmp_path, {"add server": "New server registered."}) as (api, asked):
        api.add("api/api-3", "127.0.0.1:4003", "check", serving=False)
    assert asked[1:] == ["enable health api/api-3", "set server api/api-3 state maint"]


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

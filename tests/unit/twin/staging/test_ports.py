"""Ports for servers that start a moment later: different, free, and no connection's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from twin.staging import ports
from twin.staging.ports import free_ports


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_they_are_different_and_a_server_can_listen_on_each(count: int) -> None:
    ports_given = free_ports(count)
    assert len(set(ports_given)) == count
    for port in ports_given:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        ("32768\t60999\n", 20_768, 32_767),
        ("2000 65535\n", 1_024, 1_999),
        ("", 20_768, 32_767),  # not told: Linux's own
        ("much\n", 20_768, 32_767),
        (None, 20_768, 32_767),
    ],
)
def test_no_outgoing_connection_is_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, lowest: int, *, highest: int
) -> None:
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "range")
    if text is not None:
        ports.OUTGOING.write_text(text)
    assert all(lowest <= port <= highest for port in free_ports(100))


def test_where_connections_are_given_all_ports_it_is_one_of_the_free_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "range")
    ports.OUTGOING.write_text("1024 65535\n")
    (port,) = free_ports(1)
    socket.create_server(("127.0.0.1", port)).close()


def test_what_is_taken_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [0, 0]
    while pair[0] == 0 or pair[1] != pair[0] + 1:  # others take ports as well
        monkeypatch.undo()
        (somewhere,) = free_ports(1)
        monkeypatch.setattr(ports, "OUTGOING", tmp_path / "range")
        ports.OUTGOING.write_text(f"{somewhere + 1} 60999\n")
        monkeypatch.setattr(ports, "SPAN", 2)
        pair = sorted(free_ports(2))
    first, second = pair
    with socket.create_server(("127.0.0.1", second)):
        assert {free_ports(1)[0] for _ in range(20)} == {first}

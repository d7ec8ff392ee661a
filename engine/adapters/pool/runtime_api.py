"""HAProxy's runtime API: servers come and go over its admin socket, without a reload.

One command a connection, as the socket's non-interactive mode has it.  HAProxy answers some
successes with a message and some with nothing, so what counts as success is said command by
command (HAProxy 2.6 management guide, section 9.3).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 2.0


class RuntimeApiError(RuntimeError):
    """HAProxy did not answer, or refused a command; the message says which and why."""


MAINT, DRAIN = 0x01 | 0x02 | 0x04 | 0x20 | 0x40, 0x08 | 0x10
"""Bits of `srv_admin_state`: by command, by another server, by configuration, by resolution."""
STATES = "show stat -1 4 -1;show servers state"
"""Of all servers: the first says what is under way, the second what was ordered of a sick one."""


UNCHECKED = "health check disabled"
BACK = {
    "MAINT": "set server {server} state ready",
    "DRAIN": "set server {server} state ready",
    "weight 0": "set weight {server} 100%",
    "health stopping": "set server {server} health up",
    "health down": "set server {server} health up",
    "agent down": "set server {server} agent up",
    UNCHECKED: "enable health {server}",
}
"""What people can do to a server by hand, and the command that takes it back."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server as HAProxy has it: what is under way on it, and its status in HAProxy's words.

    `weight` is its share of the requests, `admin` the bits of what was ordered, `checked` whether
    its health is looked at (never while it is in maintenance).
    """

    used: int
    status: str
    weight: int = 1
    admin: int = 0
    checked: bool = True

    @property
    def sidelined(self) -> tuple[str, ...]:
        """What somebody did to keep requests from it, keys of `BACK`; nothing if nobody did."""
        if self.status.startswith("MAINT") or self.admin & MAINT:
            return ("MAINT",)
        ways = ("DRAIN",) if self.status.startswith("DRAIN") or self.admin & DRAIN else ()
        if self.weight == 0:
            ways = (*ways, "weight 0")
        if self.status.startswith("NOLB"):
            ways = (*ways, "health stopping")
        if self.status.startswith("DOWN") and "(agent)" in self.status:
            ways = (*ways, "agent down")
        elif self.status.startswith("DOWN") and not self.checked:
            ways = (*ways, "health down")
        return ways

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What somebody did to it, also what leaves it its requests; keys of `BACK`."""
        unchecked = not self.checked and "MAINT" not in self.sidelined
        return (*self.sidelined, *((UNCHECKED,) if unchecked else ()))

    @property
    def up(self) -> bool:
        """Whether it gets requests."""
        return self.status.startswith(("UP", "no check")) and not self.sidelined

    @property
    def down(self) -> bool:
        """Whether its health check fails, and nobody wants it to be without requests."""
        return self.status.startswith("DOWN") and not self.sidelined


class RuntimeApi:
    """The commands that are needed to let servers of HAProxy's backends come and go."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, command: str) -> str:
        """Send one command and return what HAProxy says; raises RuntimeApiError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(str(self.path))
                connection.sendall(command.encode() + b"\n")
                parts = []
                while part := connection.recv(65536):
                    parts.append(part)
        except OSError as error:
            raise RuntimeApiError(
                f"HAProxy's admin socket {self.path} does not answer: {error.strerror or error}"
            ) from None
        return b"".join(parts).decode(errors="replace").strip()

    def servers(self) -> dict[str, ServerState]:
        """Every server by `backend/name`."""
        said, _, ordered = self.ask(STATES).partition("\n\n")
        lines = said.splitlines()
        if not lines or not lines[0].startswith("# "):
            raise RuntimeApiError(f"HAProxy answered nonsense to show stat: {lines[:1]}")
        header = lines[0][2:].split(",")
        name, backend = header.index("svname"), header.index("pxname")
        used, status = header.index("scur"), header.index("status")
        weight, checks = header.index("weight"), header.index("check_status")
        admin = _admin_states(ordered.splitlines())
        servers = {}
        for line in lines[1:]:
            values = line.split(",")
            server = f"{values[backend]}/{values[name]}"
            servers[server] = ServerState(
                used=int(values[used] or 0),
                status=values[status],
                weight=int(values[weight] or 0),
                admin=admin.get(server, 0),
                checked=bool(values[checks]),
            )
        return servers

    def add(self, server: str, address: str, options: str, *, serving: bool = True) -> None:
        """Add a server; adding it twice is no error.

        It has requests at once if it is `serving`, and is otherwise left in maintenance, so that
        a `state ready` is all that it takes.
        """
        said = self.ask(f"add server {server} {address} {options}")
        if "New server registered" not in said and "Already exists" not in said:
            raise RuntimeApiError(f"HAProxy refused to add {server}: {said}")
        self._quiet(f"enable health {server}")
        self._quiet(f"set server {server} state {'ready' if serving else 'maint'}")

    def drain(self, server: str) -> None:
        """Send it no further requests; those under way go on."""
        self._quiet(f"set server {server} state drain")

    def remove(self, server: str) -> bool:
        """Take a server away; False while connections to it are still being closed.

        Whatever it is doing is broken off.  A server that is not there is removed already.
        """
        said = self.ask(f"set server {server} state maint")
        if _unknown(said):
            return True
        if said:
            raise RuntimeApiError(f"HAProxy refused to stop {server}: {said}")
        self._quiet(f"shutdown sessions server {server}")
        said = self.ask(f"del server {server}")
        if "Server deleted" in said or _unknown(said):
            return True
        if "connections" in said:
            return False
        raise RuntimeApiError(f"HAProxy refused to remove {server}: {said}")

    def _quiet(self, command: str) -> None:
        said = self.ask(command)
        if said and not _unknown(said):
            raise RuntimeApiError(f"HAProxy refused {command}: {said}")


def _admin_states(lines: Sequence[str]) -> dict[str, int]:
    """What was ordered of each server, from an answer to `show servers state`."""
    header: list[str] = []
    states = {}
    for line in lines:
        values = line.removeprefix("# ").split()
        if line.startswith("# "):
            header = values
        elif header and len(values) >= len(header):
            row = dict(zip(header, values, strict=False))
            states[f"{row['be_name']}/{row['srv_name']}"] = int(row["srv_admin_state"])
    return states


def _unknown(said: str) -> bool:
    return "No such server" in said or "No such backend" in said

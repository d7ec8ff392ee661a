"""HAProxy's runtime API: servers come and go over its admin socket, without a reload.

One command a connection, as the socket's non-interactive mode has it.  HAProxy answers some
successes with a message and some with nothing, so what counts as success is said command by
command (HAProxy 2.6 management guide, section 9.3).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 2.0


class RuntimeApiError(RuntimeError):
    """HAProxy did not answer, or refused a command; the message says which and why."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server as HAProxy has it: what is under way on it, and its status in HAProxy's words."""

    used: int
    status: str

    @property
    def up(self) -> bool:
        """Whether it gets requests."""
        return self.status.startswith("UP")

    @property
    def down(self) -> bool:
        """Whether its health check fails."""
        return self.status.startswith("DOWN")


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
        lines = self.ask("show stat -1 4 -1").splitlines()
        if not lines or not lines[0].startswith("# "):
            raise RuntimeApiError(f"HAProxy answered nonsense to show stat: {lines[:1]}")
        header = lines[0][2:].split(",")
        name, backend = header.index("svname"), header.index("pxname")
        used, status = header.index("scur"), header.index("status")
        servers = {}
        for line in lines[1:]:
            values = line.split(",")
            servers[f"{values[backend]}/{values[name]}"] = ServerState(
                used=int(values[used] or 0), status=values[status]
            )
        return servers

    def add(self, server: str, address: str, options: str) -> None:
        """Add a server and let it have requests at once; adding it twice is no error."""
        said = self.ask(f"add server {server} {address} {options}")
        if "New server registered" not in said and "Already exists" not in said:
            raise RuntimeApiError(f"HAProxy refused to add {server}: {said}")
        self.enable(server)

    def enable(self, server: str) -> None:
        """Let a server have requests, whatever it was told before."""
        self._quiet(f"enable health {server}")
        self._quiet(f"set server {server} state ready")

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


def _unknown(said: str) -> bool:
    return "No such server" in said or "No such backend" in said

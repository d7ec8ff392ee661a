"""Ports of the loopback interface for servers that are started a moment later.

A port that the system chooses (bind to 0) lies among those that it also gives to each outgoing
connection, so it may be taken between the choice and the server's start.  These lie below that
range: only another server can take them.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from pathlib import Path

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The first and the last port of outgoing connections (Linux, ip(7))."""
OUTGOING_FIRST = 32_768
"""Where that is not told; Linux's own default."""
SPAN = 12_000
LOWEST = 1_024
"""Below it only root may listen."""
TRIES = 200


def free_ports(count: int) -> list[int]:
    """Different TCP ports that nobody listens on and no outgoing connection is given.

    Raises OSError when there are none.
    """
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(_bound()) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in probes]


def _bound() -> socket.socket:
    first = _outgoing_first()
    for _ in range(TRIES):
        if first <= LOWEST:
            break
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            probe.bind(("127.0.0.1", first - 1 - secrets.randbelow(min(SPAN, first - LOWEST))))
        except OSError:
            probe.close()
            continue
        return probe
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # all are given: as good as any
    probe.bind(("127.0.0.1", 0))
    return probe


def _outgoing_first() -> int:
    try:
        return int(OUTGOING.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return OUTGOING_FIRST

"""Keys that were seen lately: so many of the newest are remembered, and those before forgotten."""

from __future__ import annotations

import threading

MOST = 50_000


class Recent:
    """The newest keys, a kind and an id each; from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._keys: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def add(self, kind: str, name: str) -> bool:
        """Remember a key; whether it is a new one."""
        with self._lock:
            if (kind, name) in self._keys:
                return False
            self._keys[kind, name] = None
            if len(self._keys) > self._most:
                del self._keys[next(iter(self._keys))]
            return True

    def __contains__(self, key: tuple[str, str]) -> bool:
        with self._lock:
            return key in self._keys

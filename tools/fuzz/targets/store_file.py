"""The store's own file, with bytes of it spoilt: read and written as a step does."""

from __future__ import annotations

from collections.abc import Callable

from engine.adapters.store.sqlite import FILE, local_desk
from engine.model import ManualFloor
from tools.fuzz.scratch import NOW_S, folder
from tools.fuzz.target import FuzzTarget


def _made() -> bytes:
    place = folder()
    desk = local_desk(place)
    for service in ("api", "database"):
        desk.ask(ManualFloor(service, 3, NOW_S + 3600.0, "pat"))
    desk.database.close()
    return (place / FILE).read_bytes()


def _read() -> Callable[[bytes], object]:
    place = folder()

    def read(given: bytes) -> object:
        for left in place.iterdir():
            left.unlink()
        (place / FILE).write_bytes(given)
        desk = local_desk(place)
        try:
            desk.memory()
            desk.asked()
            desk.staged(10)
            return desk.ask(ManualFloor("api", 4, NOW_S + 7200.0, "pat"))
        finally:
            desk.database.close()

    return read


TARGET = FuzzTarget("store_file", (_made(),), _read, (OSError,))

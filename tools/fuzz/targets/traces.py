"""Files of measured load, as anybody may have written them."""

from __future__ import annotations

from collections.abc import Callable

from scenarios.traces import files
from scenarios.traces.errors import TraceError
from tools.fuzz.scratch import folder
from tools.fuzz.target import FuzzTarget

FILES = (
    b"time,requests\n" + b"".join(b"2026-06-01 00:%02d:00,%d\n" % (k, 100 + k) for k in range(30)),
    b'"Zeit";"Wert"\n' + b"".join(b"01.06.2026 00:%02d;1.%03d,5\n" % (k, k) for k in range(30)),
    b"timestamp\tcpu\n" + b"".join(b"%d\t0.%d\n" % (1780272000 + 60 * k, k)
                                       for k in range(30)),
    b"# exported\nService,Date,Time,Count\n"
    + b"".join(b"api,06/%02d/2026,12:00 PM,%d K\n" % (k, k) for k in range(1, 28)),
    "time,n\n2026-06-01T00:00:00+02:00,10.5\n2026-06-01T00:01:00+02:00,20.5\n".encode("utf-16"),
)  # fmt: skip


def _read() -> Callable[[bytes], object]:
    path = folder() / "trace.csv"

    def read(given: bytes) -> object:
        path.write_bytes(given)
        return files.on_grid(files.read(path), 60.0)

    return read


TARGET = FuzzTarget("traces", FILES, _read, (TraceError,))

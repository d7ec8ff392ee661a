"""One instance of one service: `python -m twin.staging.worker FOLDER INSTANCE SERVICE ZONE`.

Started by `engine.adapters.pool.haproxy` with a bound socket that nobody listens on yet, so that
its port is its own from the beginning and refuses connections until the boot is over.  Boot time is
drawn from the platform file's log-normal distribution and counts from the launch; then the worker
listens and warms up, and only after that does `/health` say that it is ready.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import uvicorn
import uvloop

from twin.staging import layout
from twin.staging.application import Application, Stores
from twin.staging.calls import Caller
from twin.staging.layout import Layout, StagedService
from twin.staging.stores import Jobs, Rows, Updates
from twin.staging.worker_environment import BOOTED, LAUNCHED, SOCKET


def main() -> None:
    """Run until SIGTERM."""
    folder, instance, service, zone = sys.argv[1:]
    uvloop.run(_run(Layout(Path(folder)), instance, service, zone))


async def _run(place: Layout, instance: str, name: str, zone: str) -> None:
    launched_s = float(os.environ[LAUNCHED])
    stack = layout.load(place)
    service = stack.services[name]
    number = int(instance.rpartition("-")[2])
    seed = np.random.SeedSequence((stack.seed, zlib.crc32(name.encode()), number))
    boot_rng, rng = (np.random.Generator(np.random.Philox(s)) for s in seed.spawn(2))
    skip = os.environ.get(BOOTED) == "1"
    boot_s = 0.0 if skip else service.spec.boot.quantile_s(float(boot_rng.standard_normal()))
    warmup_s = 0.0 if skip else service.spec.warmup_s

    stores = await _stores(place, service, instance)
    application = Application(
        service,
        stack.services,
        instance,
        zone,
        stores=stores,
        caller=Caller(place.calls_socket),
        rng=rng,
    )
    await asyncio.sleep(launched_s + boot_s - time.time())
    application.boot_s = time.time() - launched_s

    def ready() -> None:
        application.ready_s = time.time() - launched_s
        application.start()

    asyncio.get_running_loop().call_later(warmup_s, ready)
    listener = socket.socket(fileno=int(os.environ[SOCKET]))
    config = uvicorn.Config(
        application,
        http="httptools",
        ws="wsproto",
        loop="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        # Longer than HAProxy keeps a connection, so that it is never closed under a request; and no
        # longer, as uvicorn holds on to one that was reset until this is over.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=10,
        server_header=False,
        date_header=False,
    )
    # uvicorn raises the signal again when it is done, and there is more to finish then.
    signal.signal(signal.SIGTERM, lambda *_: None)
    await uvicorn.Server(config).serve(sockets=[listener])
    await asyncio.wait_for(application.finish(), 2.0 * service.timeout_s)


async def _stores(place: Layout, service: StagedService, instance: str) -> Stores:
    """What the service keeps things in: by its name, or none for one that we do not know."""
    stores = Stores(photos=place.photos)
    match service.spec.name:
        case "database":
            stores.rows = await Rows.connect(place.postgres, min(service.spec.slots, 8))
        case "real-time":
            stores.updates = await Updates.connect(place.redis_socket)
        case "ai-services":
            stores.jobs = await Jobs.connect(place.redis_socket, instance)
    return stores


if __name__ == "__main__":
    main()

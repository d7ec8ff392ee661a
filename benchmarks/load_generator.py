"""What a request costs the load generator, beside other clients: ratios in one run.

A tiny server on the loopback, in a process of its own, answers at once.  Each client sends it the
same GETs over one kept connection, in turns and in a process of its own; counted is the client's
processor time, so other work on the machine changes little.  A generator that costs more is late at
a lower rate, and then measures itself.

Then the whole of it: `locustfiles/wedsync.py` sends some minutes of the peak, at rates that rise.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twin.runs import lifetimes

REPOSITORY = Path(__file__).resolve().parent.parent
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SCALES = (0.002, 0.004, 0.008)
PATH = "/weddings/7/guests"
CLIENTS = ("ours", "locust.FastHttpUser", "locust.HttpUser", "requests", "httpx")


class CannedServer(asyncio.Protocol):
    """As little of a server as the load needs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.held, self.followed = transport, b"", False

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        if self.followed:
            closing = data[0] & 0x0F == 0x8
            self.transport.write(b"\x88\x02\x03\xe8" if closing else b"\x81\x02{}")
            return
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end]
            length = re.search(rb"(?i)content-length: (\d+)", head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.held) < whole:
                return
            self.held = self.held[whole:]
            key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
            if key is None:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                continue
            self.followed = True
            proof = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n"
            )


def serve(listening: socket.socket) -> None:
    """Answer for as long as the process lives."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(CannedServer, sock=listening)
        await server.serve_forever()

    asyncio.run(forever())


def sender(client: str, address: str) -> Callable[[], bool]:
    """How `client` sends one request; tells whether it was answered as it should be."""
    if client == "ours":
        from locustfiles.client import PlatformUnderTest
        from locustfiles.journeys import JourneyStep

        target, step = PlatformUnderTest(address, 1024), JourneyStep("GET", "/weddings/{id}/guests")
        return lambda: target.send(step, 7, 10.0).ending == "ok"
    if client.startswith("locust."):
        import locust
        from locust.env import Environment

        class Person(getattr(locust, client.removeprefix("locust."))):  # type: ignore[misc]
            host = address

        person = Person(Environment(user_classes=[Person]))
        return lambda: bool(person.client.get(PATH).status_code == 200)
    if client == "requests":
        import requests

        session = requests.Session()
        return lambda: session.get(address + PATH, timeout=10.0).status_code == 200
    import httpx

    pool = httpx.Client(base_url=address, timeout=10.0, trust_env=False)
    return lambda: pool.get(PATH).status_code == 200


def cost_us(client: str, address: str, requests: int) -> float:
    """Microseconds of processor time for each of so many requests."""
    send = sender(client, address)
    for _ in range(20):
        assert send()
    began_s = time.process_time()
    for _ in range(requests):
        assert send()
    return 1e6 * (time.process_time() - began_s) / requests


def compare(address: str, requests: int, repeats: int) -> None:
    """The table of clients: the best of so many turns each."""
    costs = dict.fromkeys(CLIENTS, float("inf"))
    for _ in range(repeats):
        for client in CLIENTS:
            command = [
                sys.executable, __file__, "--client", client, "--address", address,
                "--requests", str(requests),
            ]  # fmt: skip
            output = subprocess.run(
                command,
                cwd=REPOSITORY,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=lifetimes.kill_with_parent,
            ).stdout
            costs[client] = min(costs[client], float(output.splitlines()[-1]))
    print("| client | processor time of a request | ratio |")
    print("| --- | ---: | ---: |")
    for client, cost in costs.items():
        print(f"| {client} | {cost:,.0f} µs | {cost / costs['ours']:.1f} |", flush=True)


def measure(address: str, scale: float, folder: Path) -> str:
    """One row of the table of rates."""
    subprocess.run(
        [sys.executable, "-m", "locust", "-f", "locustfiles/wedsync.py", "--headless",
         "--only-summary", "--host", address, "--scale", str(scale), "--speed", "180",
         "--window", "30min", "--threshold", "availability >= 0", "--record", str(folder)],
        cwd=REPOSITORY, check=False, capture_output=True, preexec_fn=lifetimes.kill_with_parent,
    )  # fmt: skip
    summary = json.loads((folder / "load_summary.json").read_text())
    rate = summary["requests"]["sent"] / summary["wall_s"]
    generator = summary["generator"]
    return (
        f"| {rate:,.0f} | {generator['cpu_mean']:.0%} | {rate / generator['cpu_mean']:,.0f} | "
        f"{1000 * generator['lateness']['p99_s']:.0f} ms | {generator['late_ratio']:.2%} |"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=3000, help="by each client in each turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best of each counts")
    parser.add_argument("--clients-only", action="store_true", help="leave the whole load out")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.requests < 1 or arguments.repeats < 1:
        parser.error("--requests and --repeats have to be at least 1")
    if arguments.client:
        print(cost_us(arguments.client, arguments.address, arguments.requests))
        return
    lifetimes.interrupt_on_sigterm()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = multiprocessing.get_context("spawn").Process(target=serve_alone, args=(listening,))
    server.start()
    try:
        compare(address, arguments.requests, arguments.repeats)
        if not arguments.clients_only:
            print("\n| sent per second | of a core | per core second | lateness p99 | late |")
            print("| ---: | ---: | ---: | ---: | ---: |")
            with tempfile.TemporaryDirectory() as folder:
                for scale in SCALES:
                    print(measure(address, scale, Path(folder)), flush=True)
    finally:
        server.terminate()
        server.join()


def serve_alone(listening: socket.socket) -> None:
    """The server's process, which ends with ours."""
    lifetimes.end_with_parent()
    serve(listening)


if __name__ == "__main__":
    main()

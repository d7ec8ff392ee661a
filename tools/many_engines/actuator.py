"""What the engines of a fault run act on: counts and the newest epoch of each service.

It stands for an infrastructure that fences each service: a command counts once, on its own count,
and under an epoch that is not older than the newest that it has heard of for that service.  All
that is accepted goes into a log with its time, which the fault run judges afterwards; the log, not
these rules, says whether anything was done twice.

`python tools/many_engines/actuator.py ADDRESS PORT SERVICES LOG` serves; `connect` is the adapter.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.model import Action, ActionResult, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable
from engine.ports.lease import Fence


class Actuator:
    """The counts."""

    def __init__(self, services: Sequence[str], log: Path) -> None:
        self.counts = dict.fromkeys(services, 4)
        self.epochs = dict.fromkeys(services, 0)
        self.decisions: set[str] = set()
        self.log = log.open("a", encoding="utf-8", buffering=1)

    def answer(self, asked: Mapping[str, Any]) -> Any:
        """What is said to a question."""
        if asked["do"] == "observe":
            return {"counts": self.counts, "epochs": self.epochs}
        if asked["do"] == "claim":
            before = max(self.epochs[name] for name in asked["services"])
            for name in asked["services"]:
                self.epochs[name] = max(self.epochs[name], asked["epoch"])
            self._note("claim", asked["by"], asked["services"][0], asked["epoch"])
            return before
        return [self._act(action, asked["epoch"], asked["by"]) for action in asked["actions"]]

    def _act(self, action: Mapping[str, Any], epoch: int, by: str) -> str:
        name, before, after = action["service"], action["from"], action["to"]
        refused = ""
        if epoch < self.epochs[name]:
            refused = f"fence {epoch} is over, {self.epochs[name]} leads"
        elif action["id"] in self.decisions:
            return ""
        elif before != self.counts[name]:
            refused = f"conflict: {self.counts[name]} are desired, not {before}"
        if refused:
            self._note("refused", by, name, epoch, why=refused)
            return refused
        self.epochs[name] = epoch
        self.counts[name] = after
        self.decisions.add(action["id"])
        self._note("act", by, name, epoch, id=action["id"], before=before, after=after)
        return ""

    def _note(self, what: str, by: str, service: str, epoch: int, **more: Any) -> None:
        row = {"at": time.monotonic(), "what": what, "by": by, "service": service, "epoch": epoch}
        self.log.write(json.dumps(row | more) + "\n")


async def serve(address: str, port: int, services: Sequence[str], log: Path) -> None:
    """Serve until it is ended."""
    actuator = Actuator(services, log)

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(actuator.answer(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(attend, address, port, limit=1 << 24) as server:
        await server.serve_forever()


class ActuatorInfrastructure:
    """`engine.ports.infrastructure.Infrastructure` over it."""

    fences_each_service = True

    def __init__(self, specs: Sequence[ServiceSpec], address: str, port: int, by: str) -> None:
        self._names = [spec.name for spec in specs]
        self._at = address, port
        self._by = by

    async def observe(self) -> Sighting:
        """The counts now."""
        said = await self._ask({"do": "observe"})
        counts = {name: said["counts"][name] for name in self._names}
        return Sighting(
            {name: Counts(count, count, 0, 0) for name, count in counts.items()},
            fences={name: Fence(epoch) for name, epoch in said["epochs"].items()},
        )

    async def claim(self, services: Sequence[str], fence: Fence) -> Fence:
        """From now on commands for the services under an older epoch are refused."""
        asked = {"do": "claim", "services": list(services), "epoch": fence, "by": self._by}
        return Fence(int(await self._ask(asked)))

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for each action."""
        rows = [{"service": a.service, "from": a.from_instances, "to": a.to_instances,
                 "id": a.decision_id} for a in actions]  # fmt: skip
        said = await self._ask({"do": "act", "epoch": fence, "actions": rows, "by": self._by})
        return tuple([
            ActionResult(action.decision_id, Status.FAILED if why else Status.COMPLETED,
                         time.time(), why)
            for action, why in zip(actions, said, strict=True)
        ])  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""

    async def _ask(self, asked: Mapping[str, Any]) -> Any:
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection(*self._at, limit=1 << 24)
                writer.write(json.dumps(asked).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
                writer.close()
            return json.loads(line)
        except (OSError, TimeoutError, ValueError) as error:
            raise Unreachable(f"the actuator: {error or type(error).__name__}") from None


def connect(
    specs: Sequence[ServiceSpec], *, address: str, port: int, by: str
) -> ActuatorInfrastructure:
    """The infrastructure of the engine that is known as `by`."""
    return ActuatorInfrastructure(specs, address, port, by)


if __name__ == "__main__":
    at, on, count, file = sys.argv[1:]
    asyncio.run(serve(at, int(on), [f"s{k}" for k in range(int(count))], Path(file)))

"""The faults of a soak without an engine: a script, so nothing else is in the process it looks at.

python tests/soaking.py FOLDER [PLANT ...]
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tools.soak.faults import WAYS, Faults
from tools.soak.growth import LookAtProcess, look
from twin.hunt.virtual import VirtualLoop

ROUND_S, ROUNDS = 600.0, 6


def soaked(folder: Path, *plants: str) -> list[LookAtProcess]:
    """Each port called each second over all rounds of faults, and a look after each round."""
    loop = VirtualLoop()
    faults = Faults(1, ROUND_S, plants)
    made: list[LookAtProcess] = []

    async def nothing() -> None:
        return

    async def called(port: str) -> None:
        ask = faults.spoil(port)(nothing)
        while True:
            try:
                async with asyncio.timeout(2.0):
                    await ask()
            except (Exception, SystemExit):
                pass
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and ended:
                    raise
            await asyncio.sleep(1.0)

    async def story() -> None:
        beside = [asyncio.create_task(called(port)) for port in WAYS]
        beside.append(asyncio.create_task(faults.play({})))
        for number in range(ROUNDS):
            await asyncio.sleep(ROUND_S - loop.time() % ROUND_S - 5.0)
            made.append(look(number / 6.0, len(asyncio.all_tasks(loop)), folder))
            await asyncio.sleep(6.0)
        ended.append(True)
        for task in asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)

    ended: list[bool] = []
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    return made


if __name__ == "__main__":
    looks = soaked(Path(sys.argv[1]), *sys.argv[2:])
    json.dump([[one.hour, one.measures, one.types] for one in looks], sys.stdout)

"""One look for many: never one that began before he asked, and none that keeps all waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.security.shared_look import SharedLook


class Place:
    """Something to look at, whose looks can be held up."""

    def __init__(self) -> None:
        self.there, self.seen, self.count = 0, -1, 0
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def look(self) -> None:
        self.count += 1
        seen = self.there
        self.began.set()
        self.go_on.wait(60.0)
        self.seen = seen

    async def hold(self, looks: SharedLook) -> asyncio.Task[None]:
        """A look that has begun and does not end."""
        self.began.clear()
        self.go_on.clear()
        first = asyncio.create_task(looks.wait())
        await asyncio.to_thread(self.began.wait, 60.0)
        return first


def test_a_look_that_began_before_somebody_asked_does_not_answer_him() -> None:
    async def run() -> None:
        place = Place()
        looks = SharedLook(place.look, 60.0)
        first = await place.hold(looks)
        place.there = 1  # a revocation, say
        second = asyncio.create_task(looks.wait())
        await asyncio.sleep(0)
        place.go_on.set()
        await second
        assert first.done() and place.seen == 1
        looks.close()

    asyncio.run(run())


def test_all_who_ask_during_a_look_share_the_next_one_and_who_goes_away_takes_it_from_nobody() -> (
    None
):
    async def run() -> None:
        place = Place()
        looks = SharedLook(place.look, 60.0)
        first = await place.hold(looks)
        others = [asyncio.create_task(looks.wait()) for _ in range(50)]
        await asyncio.sleep(0)
        for other in others[::2]:
            other.cancel()
        place.go_on.set()
        await asyncio.gather(first, *others[1::2])
        assert place.count == 2
        looks.close()

    asyncio.run(run())


def test_while_a_look_hangs_nobody_waits_for_longer_than_the_patience() -> None:
    async def run() -> None:
        place = Place()
        looks = SharedLook(place.look, 0.05)
        first = await place.hold(looks)
        for waiting in (first, looks.wait()):  # the second one until the look is late for sure
            with pytest.raises(TimeoutError):
                await waiting
        for _ in range(20):  # none of them waits for the one that hangs, not even a moment
            with pytest.raises(TimeoutError):
                looks.wait().send(None)
        assert place.count == 1
        place.go_on.set()
        while True:
            try:
                await looks.wait()
            except TimeoutError:
                continue
            break
        looks.close()

    asyncio.run(run())


def test_it_answers_in_whatever_loop_somebody_waits() -> None:
    place = Place()
    looks = SharedLook(place.look, 60.0)
    for count in range(1, 4):
        asyncio.run(looks.wait())
        assert place.count == count
    looks.close()

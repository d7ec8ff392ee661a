"""One world: engines, a lease table and an actuator, from one event to the next.

What runs in here is `engine.sharding.protocol`, as in production, and `engine.sharding.register`
for the table.  The world knows what the engines cannot: the true time, and who has what; it says
what must not be.

- *An action under an old epoch*: the actuator carried one out though it had heard of a newer epoch.
- *An action counted twice*: two were carried out on top of the same count.
- *Two acted at once*: an engine sent an action for a shard that was not its own in the table at
  that moment.  Only where no fault makes clocks useless, and not of an action that a pause held up
  between the look at the clock and the sending: there the actuator has to refuse.
- *A shard had no owner* for more than 15 s, in which one engine at least had a way to the table all
  the time and nothing began or ended to go wrong.

A plain loop over a heap, as a hundred thousand worlds have to be affordable; one is 42 s.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.sharding.protocol import LeaseProtocol, MemberState, Round, RoundAnswer
from engine.sharding.register import LeaseRegister, LeaseTable
from engine.sharding.shards import Shard, ShardLayout
from twin.leases.faults import LASTS_S, OF_ONE, LeaseFault, LeaseFaultKind, LeaseWorld

UNOWNED_S = 15.0
LOOK_S = 1.0
"""Between two looks at who owns what."""
SLOWEST_S = 3.0
"""A table whose answer takes longer there and back is none that can be reached."""


@dataclass(slots=True)
class TableCall:
    """A round in the history: when it was sent and answered (inf: nobody heard an answer)."""

    member: str
    asked: Round
    sent_s: float
    heard_s: float = math.inf
    answer: RoundAnswer | None = None


@dataclass(slots=True)
class LeaseOutcome:
    """What became of a world."""

    violations: list[str] = field(default_factory=list)
    calls: list[TableCall] = field(default_factory=list)
    actions: int = 0
    refused: int = 0
    longest_unowned_s: float = 0.0
    """Of all stretches without an owner in which there was a way to the table."""
    moves: int = 0
    """Changes of owners."""


@dataclass(slots=True)
class LeasePlant:
    """What the world runs: the product's parts, or ones in which a fault was planted."""

    protocol: LeaseProtocol = field(default_factory=LeaseProtocol)
    register: LeaseRegister = field(default_factory=LeaseRegister)
    fenced: bool = True
    """Whether the actuator compares epochs."""
    counted: bool = True
    """Whether it compares counts."""
    asks_the_clock: bool = True
    """Whether an engine looks at its deadline before it acts."""
    wall_clock: bool = False
    """Whether the engine goes by the time of day."""


class _Actuator:
    """Carries out: the highest epoch that it heard of, and how often it acted, by shard."""

    def __init__(self, plant: LeasePlant, shards: list[str]) -> None:
        self.plant = plant
        self.heard = dict.fromkeys(shards, 0)
        self.count = dict.fromkeys(shards, 0)

    def claim(self, shard: str, epoch: int) -> int | None:
        """An engine begins under `epoch`; the count then, None if it is refused."""
        if self.plant.fenced and epoch < self.heard[shard]:
            return None
        self.heard[shard] = max(self.heard[shard], epoch)
        return self.count[shard]

    def act(self, shard: str, epoch: int, on: int, outcome: LeaseOutcome) -> bool:
        """Whether it counted."""
        if (self.plant.fenced and epoch < self.heard[shard]) or (
            self.plant.counted and on != self.count[shard]
        ):
            outcome.refused += 1
            return False
        if epoch < self.heard[shard]:
            outcome.violations.append(f"{shard}: an action under an old epoch")
        if on != self.count[shard]:
            outcome.violations.append(f"{shard}: an action counted twice")
        self.heard[shard] = max(self.heard[shard], epoch)
        self.count[shard] += 1
        outcome.actions += 1
        return True


class _Engine:
    """One process."""

    __slots__ = (
        "alive", "calls", "claimed", "counts", "frozen_s", "held_up", "name", "paused_until_s",
        "rate", "reach_s", "started_s", "state", "wake_s", "wall_s",
    )  # fmt: skip

    def __init__(self, name: str, rate: float, started_s: float, state: MemberState) -> None:
        self.name = name
        self.rate = rate
        self.started_s = started_s
        self.state = state
        self.alive = True
        self.paused_until_s = -math.inf
        self.frozen_s = 0.0
        self.wall_s = 0.0
        self.wake_s = math.inf
        self.claimed: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.calls: dict[int, TableCall] = {}
        self.held_up: tuple[str, int, int] | None = None
        self.reach_s: float | None = None


class LeaseSimulation:
    """Plays a world once."""

    def __init__(self, world: LeaseWorld, plant: LeasePlant | None = None) -> None:
        self.world = world
        self.plant = plant or LeasePlant()
        self.outcome = LeaseOutcome()
        self._draws = np.random.Generator(np.random.Philox(key=world.seed + (1 << 64)))
        self._pool: list[float] = []
        self._now_s = 0.0
        self._table = LeaseTable()
        self._clock_set_s = 0.0
        self._layout = ShardLayout(
            tuple([Shard(f"s{k}", tuple([f"s{k}.{i}" for i in range(cost)]))
                   for k, cost in enumerate(world.costs)]),
            "layout",
        )  # fmt: skip
        self.shards = [shard.name for shard in self._layout.shards]
        self._actuator = _Actuator(self.plant, self.shards)
        self._engines: list[_Engine] = []
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._wrong: list[LeaseFault] = []
        """What goes wrong now."""
        self._owned_s = dict.fromkeys(self.shards, 0.0)
        self._owner: dict[str, str] = {}
        self._disturbed_s = 0.0
        self._by_number: dict[int, _Engine] = {}

    def run(self) -> LeaseOutcome:
        """Play it to its end."""
        world = self.world
        for k, joins_s in enumerate(world.joins_s):
            self._at(joins_s, self._start, k, 0)
        for fault in world.faults:
            self._at(fault.begins_s, self._begin, fault)
        self._at(LOOK_S, self._look)
        queue = self._queue
        while queue:
            now_s, _, do, arguments = heapq.heappop(queue)
            if now_s > LASTS_S:
                break
            self._now_s = now_s
            do(*arguments)
        return self.outcome

    # --- engines

    def _start(self, number: int, life: int) -> None:
        name = f"e{number}.{life}"
        state = self.plant.protocol.begin(name, self._layout, 0.0)
        engine = _Engine(name, self.world.rates[number], self._now_s, state)
        self._engines.append(engine)
        self._by_number[number] = engine
        self._awake(engine)
        self._at(self._now_s + self.world.step_s * self._random(), self._step, engine)
        self._at(self._now_s + self.world.cycle_s * self._random(), self._cycle, engine)

    def _clock(self, engine: _Engine) -> float:
        wall_s = engine.wall_s if self.plant.wall_clock else 0.0
        return (self._now_s - engine.started_s - engine.frozen_s) * engine.rate + wall_s

    def _awake(self, engine: _Engine) -> None:
        """Let the engine's next round come when it is due."""
        in_s = (engine.state.due_s - self._clock(engine)) / engine.rate
        due_s = self._now_s + max(in_s, 0.0) + 1e-6
        if due_s < engine.wake_s:
            engine.wake_s = due_s
            self._at(due_s, self._wake, engine, due_s)

    def _wake(self, engine: _Engine, due_s: float) -> None:
        if engine.wake_s != due_s or not self._runs(engine, self._wake, engine, due_s):
            return
        engine.wake_s = math.inf
        engine.state, asked = self.plant.protocol.asks(engine.state, self._clock(engine))
        if asked is not None:
            self._send(engine, asked)
        if not (asked is not None and asked.leaves):
            self._awake(engine)

    def _runs(self, engine: _Engine, do: Callable[..., None], *arguments: Any) -> bool:
        """Whether the engine runs now; if it is paused, `do` comes when it runs again."""
        if not engine.alive:
            return False
        if self._now_s < engine.paused_until_s:
            self._at(engine.paused_until_s + 1e-6, do, *arguments)
            return False
        return True

    def _step(self, engine: _Engine) -> None:
        if not self._runs(engine, self._step, engine):
            return
        self._at(self._now_s + self.world.step_s, self._step, engine)
        if engine.held_up is not None:
            # The look at the clock was before the pause.
            shard, epoch, on = engine.held_up
            engine.held_up = None
            self._act(engine, shard, epoch, on)
        for shard in list(engine.state.held):
            if epoch := self._may_act(engine, shard):
                self._do(engine, shard, epoch)

    def _may_act(self, engine: _Engine, shard: str) -> int:
        if not self.plant.asks_the_clock:
            held = engine.state.held.get(shard)
            return 0 if held is None else held.epoch
        return self.plant.protocol.may_act(engine.state, shard, self._clock(engine))

    def _do(self, engine: _Engine, shard: str, epoch: int) -> None:
        """Act, after the actuator was told of the epoch and has said what there is."""
        lot = self._table.lots.get(shard)
        table_s = self._now_s + self._clock_set_s
        if self.world.deadline_holds and (
            lot is None or (lot.holder, lot.epoch) != (engine.name, epoch) or table_s >= lot.until_s
        ):
            self.outcome.violations.append(f"{shard}: two acted at once")
        if engine.claimed.get(shard) == epoch:
            self._act(engine, shard, epoch, engine.counts[shard])
        else:
            self._at(self._now_s + self._delay_s(), self._claim, engine, shard, epoch)

    def _claim(self, engine: _Engine, shard: str, epoch: int) -> None:
        count = self._actuator.claim(shard, epoch)
        if count is not None:
            self._at(self._now_s + self._delay_s(), self._claimed, engine, shard, epoch, count)

    def _claimed(self, engine: _Engine, shard: str, epoch: int, count: int) -> None:
        if self._runs(engine, self._claimed, engine, shard, epoch, count):
            engine.claimed[shard], engine.counts[shard] = epoch, count

    def _act(self, engine: _Engine, shard: str, epoch: int, on: int) -> None:
        delay_s = self._delay_s()
        if self._random() < 0.02:
            delay_s += 10.0 * self._random()
        self._at(self._now_s + delay_s, self._acted, engine, shard, epoch, on)

    def _acted(self, engine: _Engine, shard: str, epoch: int, on: int) -> None:
        if (
            self._actuator.act(shard, epoch, on, self.outcome)
            and engine.claimed.get(shard) == epoch
        ):
            engine.counts[shard] = on + 1

    def _cycle(self, engine: _Engine) -> None:
        if self._runs(engine, self._cycle, engine):
            self._at(self._now_s + self.world.cycle_s, self._cycle, engine)
            engine.state = self.plant.protocol.boundary(engine.state, self._clock(engine))
            self._awake(engine)

    # --- the way to the table

    def _send(self, engine: _Engine, asked: Round) -> None:
        call = TableCall(engine.name, asked, self._now_s)
        engine.calls[asked.number] = call
        self.outcome.calls.append(call)
        if self._is_lost(engine, LeaseFaultKind.QUESTIONS_LOST):
            return
        self._at(self._now_s + self._delay_s(slow=True), self._serve, engine, asked)
        for fault in self._wrong:
            if fault.kind is LeaseFaultKind.TWICE and self._random() < fault.size:
                # It may count a second time, and that is a call of its own that nobody answers.
                self.outcome.calls.append(TableCall(engine.name, asked, self._now_s))
                late_s = self._delay_s(slow=True) + 3.0 * self._random()
                self._at(self._now_s + late_s, self._serve, engine, asked)

    def _serve(self, engine: _Engine, asked: Round) -> None:
        if any(fault.kind is LeaseFaultKind.TABLE_GONE for fault in self._wrong):
            return
        table_s = self._now_s + self._clock_set_s
        self._table, answer = self.plant.register.serve(self._table, asked, table_s)
        if self._is_lost(engine, LeaseFaultKind.ANSWERS_LOST):
            return
        self._at(self._now_s + self._delay_s(slow=True), self._hear, engine, answer)
        for fault in self._wrong:
            if fault.kind is LeaseFaultKind.TWICE and self._random() < fault.size:
                late_s = self._delay_s(slow=True) + 3.0 * self._random()
                self._at(self._now_s + late_s, self._hear, engine, answer)

    def _hear(self, engine: _Engine, answer: RoundAnswer) -> None:
        if not self._runs(engine, self._hear, engine, answer):
            return
        call = engine.calls.pop(answer.number, None)
        if call is not None:
            call.heard_s, call.answer = self._now_s, answer
        engine.state = self.plant.protocol.answered(engine.state, answer, self._clock(engine))
        self._awake(engine)

    def _is_lost(self, engine: _Engine, one_way: LeaseFaultKind) -> bool:
        for fault in self._wrong:
            if fault.kind in (LeaseFaultKind.CUT, one_way):
                if self._by_number.get(fault.engine) is engine:
                    return True
            elif fault.kind is LeaseFaultKind.LOSSY and self._random() < fault.size:
                return True
        return False

    def _delay_s(self, *, slow: bool = False) -> float:
        delay_s = self.world.delay_s * (0.5 + self._random())
        if slow:
            for fault in self._wrong:
                if fault.kind is LeaseFaultKind.SLOW:
                    delay_s += fault.size * self._random()
        return delay_s

    # --- what goes wrong

    def _begin(self, fault: LeaseFault) -> None:
        self._disturbed_s = self._now_s
        engine = self._by_number.get(fault.engine)
        if fault.kind in OF_ONE and (engine is None or not engine.alive):
            return
        kind, until_s = fault.kind, self._now_s + fault.lasts_s
        if kind is LeaseFaultKind.TABLE_CLOCK:
            self._clock_set_s += fault.size
            return
        self._at(until_s, self._end, fault)
        if engine is None or kind not in OF_ONE:
            self._wrong.append(fault)
            return
        match kind:
            case LeaseFaultKind.KILLED:
                engine.alive = False
                self._at(until_s, self._start, fault.engine, len(self._engines))
            case LeaseFaultKind.LEAVES:
                engine.state = self.plant.protocol.leave(engine.state, self._clock(engine))
                self._awake(engine)
                self._at(until_s + 3.0, self._start, fault.engine, len(self._engines))
            case LeaseFaultKind.PAUSED | LeaseFaultKind.SUSPENDED:
                ready = [s for s in engine.state.held
                         if self._may_act(engine, s) == engine.claimed.get(s, -1)]  # fmt: skip
                if ready:
                    shard = ready[int(self._random() * len(ready))]
                    engine.held_up = shard, engine.claimed[shard], engine.counts[shard]
                engine.paused_until_s = max(engine.paused_until_s, until_s)
                if kind is LeaseFaultKind.SUSPENDED:
                    engine.frozen_s += fault.lasts_s
            case LeaseFaultKind.WALL_CLOCK:
                engine.wall_s += fault.size
            case _:
                self._wrong.append(fault)

    def _end(self, fault: LeaseFault) -> None:
        self._disturbed_s = self._now_s
        if fault in self._wrong:
            self._wrong.remove(fault)

    # --- what must not be

    def _look(self) -> None:
        now_s = self._now_s
        self._at(now_s + LOOK_S, self._look)
        ways: list[float] = []
        acting = [one for one in self._engines if one.alive and now_s >= one.paused_until_s]
        gone = any(
            fault.kind in (LeaseFaultKind.TABLE_GONE, LeaseFaultKind.LOSSY)
            or (fault.kind is LeaseFaultKind.SLOW and 2.0 * fault.size > SLOWEST_S)
            for fault in self._wrong
        )
        cut = [
            self._by_number.get(fault.engine)
            for fault in self._wrong
            if fault.kind in (LeaseFaultKind.CUT, LeaseFaultKind.QUESTIONS_LOST,
                              LeaseFaultKind.ANSWERS_LOST)
        ]  # fmt: skip
        for engine in acting:
            if gone or engine in cut or engine.state.leaves:
                engine.reach_s = None
            else:
                engine.reach_s = now_s if engine.reach_s is None else engine.reach_s
                ways.append(engine.reach_s)
        way_s = min(ways, default=math.inf)
        for shard in self.shards:
            owner = next((one for one in acting if self._may_act(one, shard)), None)
            if owner is not None:
                self._owned_s[shard] = now_s
                if self._owner.get(shard, owner.name) != owner.name:
                    self.outcome.moves += 1
                self._owner[shard] = owner.name
                continue
            unowned_s = now_s - max(self._owned_s[shard], way_s, self._disturbed_s)
            self.outcome.longest_unowned_s = max(self.outcome.longest_unowned_s, unowned_s)
            if unowned_s > UNOWNED_S:
                self.outcome.violations.append(f"{shard}: no owner for {UNOWNED_S:g} s")
                self._owned_s[shard] = now_s

    # --- inside

    def _at(self, time_s: float, do: Callable[..., None], *arguments: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time_s, self._order, do, arguments))

    def _random(self) -> float:
        if not self._pool:
            self._pool = self._draws.random(512).tolist()
        return self._pool.pop()

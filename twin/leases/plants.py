"""Faults that can be planted in the protocol, the table or the actuator: each has to be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.sharding.protocol import ACT_S, LeaseProtocol, MemberState
from engine.sharding.register import LeaseRegister, Lot
from twin.leases.world import LeasePlant


class _FromReceipt(LeaseProtocol):
    def until_s(self, sent_s: float, came_s: float) -> float:
        return came_s + ACT_S


class _AsLongAsTheLease(LeaseProtocol):
    def until_s(self, sent_s: float, came_s: float) -> float:
        return sent_s + 2.0 * ACT_S


class _OverComesBack(LeaseProtocol):
    def is_new(self, epoch: int, over: int) -> bool:
        return True


class _GivenBackAfterwards(LeaseProtocol):
    """The shard is given back in the table, and acted for until its deadline."""

    def boundary(self, state: MemberState, now_s: float) -> MemberState:
        after = super().boundary(state, now_s)
        return replace(after, held=state.held)


class _EpochStays(LeaseRegister):
    def next_epoch(self, lot: Lot | None) -> int:
        return 1 if lot is None else max(lot.epoch, 1)


class _TakenFromTheLiving(LeaseRegister):
    def may_take(self, lot: Lot, now_s: float) -> bool:
        return True


class _OverIsKept(LeaseRegister):
    def may_keep(self, lot: Lot, member: str, epoch: int, now_s: float) -> bool:
        return lot.epoch == epoch


class _AnybodyGivesBack(LeaseRegister):
    def may_drop(self, lot: Lot, member: str, epoch: int, now_s: float) -> bool:
        return now_s < lot.until_s


PLANTS: dict[str, Callable[[], LeasePlant]] = {
    "deadline counted from receipt": lambda: LeasePlant(protocol=_FromReceipt()),
    "deadline longer than the lease": lambda: LeasePlant(protocol=_AsLongAsTheLease()),
    "what is over comes back": lambda: LeasePlant(protocol=_OverComesBack()),
    "given back and gone on": lambda: LeasePlant(protocol=_GivenBackAfterwards()),
    "deadline by the time of day": lambda: LeasePlant(wall_clock=True),
    "deadline not looked at": lambda: LeasePlant(asks_the_clock=False),
    "epoch not raised": lambda: LeasePlant(register=_EpochStays()),
    "taken from the living": lambda: LeasePlant(register=_TakenFromTheLiving()),
    "kept though it ran out": lambda: LeasePlant(register=_OverIsKept()),
    "given back by another": lambda: LeasePlant(register=_AnybodyGivesBack()),
    "no check of epochs at the actuator": lambda: LeasePlant(fenced=False),
    "no check of counts at the actuator": lambda: LeasePlant(counted=False),
}
"""By what is wrong."""

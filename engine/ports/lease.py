"""The port to whatever says who leads: one engine at a time, under a number that only grows.

The number is a *fence*: it goes with everything that a leader writes, and whoever takes writes
refuses those under an older fence than the newest that it has seen.  A lease alone does not keep
two engines from acting at once (one may be asleep between its last look at the lease and its
write); the fence does, since what it writes after it woke up is refused.
"""

from __future__ import annotations

from typing import NewType, Protocol, runtime_checkable

Fence = NewType("Fence", int)
"""Number of a lead; whoever leads later has a higher one."""

NO_FENCE = Fence(0)
"""Lower than that of any lead."""


class NotLeadingError(RuntimeError):
    """Another engine leads: `holder` says which, for people."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class FencedOffError(RuntimeError):
    """A write came under a fence older than the newest that was seen; nothing was written."""

    def __init__(self, fence: Fence, newest: Fence) -> None:
        super().__init__(f"fence {fence} is over, {newest} leads")
        self.fence = fence
        self.newest = newest


class Lease(Protocol):
    """Who leads."""

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """Take the lead at `now_s` (epoch seconds) if nobody has it, or keep it.

        Returns the fence under which this engine leads: the same as long as the lead was kept, a
        higher one than any before when it was lost meanwhile, and in any case one above `above`.
        Raises NotLeadingError while another engine leads.
        """
        ...

    async def release(self) -> None:
        """Let another engine lead; the lead can be taken again."""
        ...


@runtime_checkable
class EndsByItself(Protocol):
    """A lease whose lead is over at some moment, whether its holder asks or not.

    What was decided under it is not sent any more from then on.  Others need not be like this.
    """

    def holds(self, fence: Fence) -> bool:
        """Whether this engine leads under `fence` at this moment; asks nobody."""
        ...

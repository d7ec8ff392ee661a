"""How a worker is started: its command, and names in its environment, apart from its imports."""

from engine.adapters.pool.place import Worker

LAUNCHED = "WEDTWIN_LAUNCHED"
"""When it was launched, epoch seconds."""

BOOTED = "WEDTWIN_BOOTED"
"""1: it skips its boot and warm-up, as one that was there from the beginning."""

SOCKET = "WEDTWIN_SOCKET"
"""The number of the inherited socket, which is bound and not yet listened on."""

WORKER = Worker(
    command=(
        "{python}", "-m", "twin.staging.worker", "{folder}", "{instance}", "{service}", "{zone}",
    ),
    environment={LAUNCHED: "{launched}", BOOTED: "{booted}", SOCKET: "{socket}"},
)  # fmt: skip
"""As `conf/infrastructure/haproxy.yaml` has it for an engine."""

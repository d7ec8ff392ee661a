"""What a worker is told when it is started: names in its environment, apart from its imports."""

LAUNCHED = "WEDTWIN_LAUNCHED"
"""When it was launched, epoch seconds."""

BOOTED = "WEDTWIN_BOOTED"
"""1: it skips its boot and warm-up, as one that was there from the beginning."""

SOCKET = "WEDTWIN_SOCKET"
"""The number of the inherited socket, which is bound and not yet listened on."""

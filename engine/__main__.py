"""`python -m engine …`: the engine's command line; see `engine.commands.table`."""

from __future__ import annotations

import sys

from engine.commands.table import Command, dispatch

REQUESTS = "engine.commands.requests"
COMMANDS = {
    "run": Command(
        "engine.commands.run:run", "[key=value ...]", "scale a real platform",
        "engine.commands.usage:RUN",
    ),
    "serve": Command(
        "engine.commands.run:serve", "[key=value ...]", "scale it, and answer over HTTP",
        "engine.commands.usage:SERVE",
    ),
    "import": Command(
        "engine.commands.importing:run", "kubernetes|prometheus [key=value ...]",
        "turn a cluster and its metrics into files to run with", "engine.commands.usage:IMPORT",
    ),
    "status": Command("engine.commands.status:run", "", "what the running engine sees and does"),
    "pause": Command(f"{REQUESTS}:pause", "[SERVICE] [--for TIME]", "do not scale"),
    "resume": Command(f"{REQUESTS}:resume", "[SERVICE]", "end a pause"),
    "floor": Command(f"{REQUESTS}:floor", "SERVICE N [--for TIME]", "keep at least N instances"),
    "approve": Command(f"{REQUESTS}:approve", "DECISION", "approve a waiting action"),
    "reject": Command(f"{REQUESTS}:reject", "DECISION", "refuse a waiting action"),
    "occasion": Command(
        "engine.commands.occasion:run", "propose|list|approve|drop",
        "announce an event that is in no calendar: a launch, a TV spot",
    ),
    "learn": Command(
        "engine.commands.learn:run", "load=FILE|prometheus out=FILE [key=value ...]",
        "learn from the past how bookings become load", "engine.commands.usage:LEARN",
    ),
    "alerts": Command(
        "engine.commands.alerts:run", "[list|ack|escalate]", "what the monitor finds wrong"
    ),
    "monitor": Command(
        "engine.commands.monitor:run", "[start|list|end]", "what is watched, and how often"
    ),
    "audit": Command(
        "engine.commands.audit:run", "verify|show|export",
        "show who did what, and check that the log is whole",
    ),
    "kubernetes": Command(
        "engine.commands.kubernetes:run", "rbac|check|show",
        "what the engine needs and sees in a cluster",
    ),
    "aws": Command(
        "engine.commands.aws:run", "policy|check|show",
        "what the engine needs and sees in an AWS account",
    ),
    "token": Command(
        "engine.commands.token:run", "create|list|revoke", "make and revoke tokens for the API"
    ),
    "keys": Command(
        "engine.commands.keys:run", "make|use|list|rotate|retire",
        "make and rotate the keys that seal what is stored",
    ),
    "record": Command("engine.commands.record:run", "open", "open a sealed record of a live run"),
    "privacy": Command(
        "engine.commands.privacy:run", "export|erase|retain|page", "what is held on one wedding"
    ),
    "break-glass": Command(
        "engine.commands.break_glass:run", "seal|use|review|drill", "access in an emergency"
    ),
}  # fmt: skip


def main() -> None:
    """Run the command line; always ends the process."""
    dispatch("python -m engine", COMMANDS, sys.argv[1:])


if __name__ == "__main__":
    main()

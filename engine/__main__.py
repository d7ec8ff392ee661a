"""`python -m engine …`: the engine's command line.

Each sub-command is a function of the arguments that follow its name and returns the exit code; its
module is imported when it is asked for, so that `pause` need not wait for all that `run` loads.
Modules below `engine.commands` may wire the engine to other packages; nothing else here may.

Exit codes: 0 done, 1 a threshold failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: where it is (`module:function`), what comes after its name, what it does."""

    function: str
    arguments: str
    purpose: str


COMMANDS = {
    "staging": Command(
        "twin.staging.command:run",
        "up|down|status [key=value ...]",
        "the platform, on this machine",
    ),
    "run": Command("engine.commands.run:run", "[key=value ...]", "scale a real platform"),
    "status": Command("engine.commands.status:run", "", "what the running engine sees and does"),
    "pause": Command("engine.commands.requests:pause", "[SERVICE] [--for TIME]", "do not scale"),
    "resume": Command("engine.commands.requests:resume", "[SERVICE]", "take a pause back"),
    "floor": Command(
        "engine.commands.requests:floor", "SERVICE N [--for TIME]", "keep at least N instances"
    ),
    "approve": Command("engine.commands.requests:approve", "DECISION", "let a waiting action pass"),
    "reject": Command("engine.commands.requests:reject", "DECISION", "refuse a waiting action"),
}


def main() -> None:
    """Run the command line; always ends the process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage(), end="")
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f'error: "{name}" is not a command{hint}\n{_usage()}', end="", file=sys.stderr)
        sys.exit(2)
    # Hydra and argparse show the program's name; it has to be the command that was typed.
    sys.argv = [f"python -m engine {name}", *rest]
    module, _, function = COMMANDS[name].function.partition(":")
    sys.exit(getattr(importlib.import_module(module), function)(rest))


def _usage() -> str:
    lines = [
        f"{'usage:' if i == 0 else '      '} python -m engine {name} {command.arguments}"
        for i, (name, command) in enumerate(COMMANDS.items())
    ]
    width = max(map(len, COMMANDS))
    about = [f"  {name:<{width}}  {command.purpose}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", *about, "", "python -m engine COMMAND --help says more.", ""])


if __name__ == "__main__":
    main()

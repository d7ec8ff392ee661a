"""A command line as a table: each sub-command is imported when it is asked for.

A command that only writes a file need not wait for all that another one loads, and what a command
says of itself is text, so that `--help` waits for nothing.

Exit codes: 0 done, 1 a threshold failed, 2 bad input, 130 interrupted, 141 nobody reads any more
(`… | head`).
"""

from __future__ import annotations

import difflib
import importlib
import os
import select
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from engine.commands.interrupts import repeat_lost_interrupts

HELP = ("-h", "--help")
STDOUT = 1
UNREAD = 128 + 13
"""As a shell says it of what SIGPIPE has ended."""


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: where it is (`module:function`), what comes after its name, what it does.

    The function takes the arguments that follow the name and returns the exit code.  `usage`
    (`module:TEXT`) is printed for `--help`; without it the function answers that itself.
    """

    function: str
    arguments: str
    purpose: str
    usage: str = ""


def dispatch(program: str, commands: Mapping[str, Command], arguments: Sequence[str]) -> NoReturn:
    """Run the sub-command that `arguments` begin with; always ends the process."""
    if not arguments or arguments[0] in (*HELP, "help"):
        sys.stdout.write(usage(program, commands))
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in commands:
        close = difflib.get_close_matches(name, commands, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        sys.stderr.write(f'error: "{name}" is not a command{hint}\n{usage(program, commands)}')
        sys.exit(2)
    command = commands[name]
    if command.usage and set(rest) & set(HELP):
        sys.stdout.write(str(_loaded(command.usage)))
        sys.exit(0)
    # Hydra and argparse show the program's name; it has to be the command that was typed.
    sys.argv = [f"{program} {name}", *rest]
    function = _loaded(command.function)
    assert callable(function)
    repeat_lost_interrupts()
    try:
        code = function(rest)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_cut_off():
            raise
        # What is still to be written at the end has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        sys.exit(UNREAD)
    sys.exit(code)


def _is_cut_off() -> bool:
    """Whether whoever read what is printed has gone."""
    poll = select.poll()
    poll.register(STDOUT, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _loaded(reference: str) -> object:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def usage(program: str, commands: Mapping[str, Command]) -> str:
    """What `--help` says of a program: how each command is typed and what it does."""
    lines = [
        f"{'usage:' if i == 0 else '      '} {program} {name} {command.arguments}".rstrip()
        for i, (name, command) in enumerate(commands.items())
    ]
    width = max(map(len, commands))
    about = [f"  {name:<{width}}  {command.purpose}" for name, command in commands.items()]
    return "\n".join([*lines, "", *about, "", f"{program} COMMAND --help says more.", ""])

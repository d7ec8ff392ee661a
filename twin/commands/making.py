"""The commands that make a file or folder and end with its path.

What a command needs is imported when its arguments have been read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from engine.config import secrets
from engine.config.strict import ConfigError
from engine.record.folders import OutputError
from engine.runtime.errors import ControllerError
from twin.commands.reporters import reporter


def compare(arguments: list[str]) -> int:
    """Several controllers in the same world."""
    from twin.compare import command

    return _make(
        "compare", arguments, lambda line: command.run(arguments, line, reporter("comparison"))
    )


def price(arguments: list[str]) -> int:
    """What each rule of the engine costs and saves."""
    from twin.price import command

    return _make(
        "price",
        arguments,
        lambda line: command.run(arguments, line, reporter("price")),
        interrupted="the same command goes on where it was",
    )


def plan(arguments: list[str]) -> int:
    """What to buy for the months to come."""
    from twin.plan import command

    return _make("plan", arguments, lambda line: command.run(arguments, line, reporter("plan")))


def backtest(arguments: list[str]) -> int:
    """How wrong the forecasts are."""
    from twin.backtest import command

    return _make(
        "backtest", arguments, lambda line: command.run(arguments, line, reporter("backtest"))
    )


def hindcast(arguments: list[str]) -> int:
    """The twin against imported days."""
    from twin.hindcast import command

    return _make(
        "hindcast", arguments, lambda line: command.run(arguments, line, reporter("hindcast"))
    )


def detect(arguments: list[str]) -> int:
    """How well the monitor detects faults."""

    def scored(line: str) -> Path:
        from twin.detect import command

        return command.run(command.read(arguments), line)

    return _make("detect", arguments, scored)


def leases(arguments: list[str]) -> int:
    """Engines that share a platform, in worlds where everything goes wrong."""
    from twin.leases import command

    try:
        return command.run(command.read(arguments))
    except ConfigError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def benchmark(arguments: list[str]) -> int:
    """The detectors on labelled series of others."""

    def judged(line: str) -> Path:
        from twin.benchmark import command

        return command.run(command.read(arguments), line)

    return _make("benchmark", arguments, judged)


def forecast(arguments: list[str]) -> int:
    """A day, a wedding, a season."""
    import json

    def answer(line: str) -> Path:
        from twin.forecast import arguments as words

        options = words.read(arguments)

        from twin.forecast import command

        folder = command.run(options, line, reporter("forecast"))

        from twin.commands import terminal

        terminal.show_forecast(json.loads((folder / "forecast.json").read_text()), folder)
        return folder

    return _make("forecast", arguments, answer)


def learn(arguments: list[str]) -> int:
    """From simulated days, for the engine."""
    from twin.forecast import learn as learning

    return _make("learn", arguments, lambda _: learning.run(arguments))


def evidence(arguments: list[str]) -> int:
    """The claims that are to be shown before a deployment."""
    try:
        if arguments[:1] == ["verify"]:
            return _verify(arguments[1:])
        if arguments[:1] == ["page"]:
            return _page(arguments[1:])
        from twin.evidence import arguments as words
        from twin.evidence import claims

        options = words.read(arguments)
        every = claims.read(options.claims)
        wanted = claims.chosen(every, options.wanted)

        from twin.evidence import command

        folder, shown = command.run(options, every, wanted, reporter("evidence"))
    except (ConfigError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it was", file=sys.stderr)
        return 130
    print(folder, flush=True)
    return 0 if shown else 1


def _verify(arguments: list[str]) -> int:
    from twin.evidence import arguments as words

    folder, key = words.verified(arguments)

    from twin.evidence import command

    wrong = command.check(folder, key)
    print("\n".join(wrong) or "whole: every digest, figure, limit and signature is as it was")
    return 1 if wrong else 0


def _page(arguments: list[str]) -> int:
    from twin.evidence import arguments as words

    folder, day, out = words.drawn(arguments)

    from twin.evidence import command

    print(command.page(folder, day, out, reporter("evidence_page")), flush=True)
    return 0


def serve(arguments: list[str]) -> int:
    """A scenario in wall time, with the live engine and its API."""
    from engine.ports.lease import NotLeadingError
    from twin.serve import settings

    try:
        secrets.learn_arguments(arguments)
        line = secrets.command_line(["python", "-m", "twin", "serve"], arguments)
        config, plain = settings.read(arguments)

        from twin.serve import command

        folder, interrupted = command.run(config, plain, line)
    except (ConfigError, ControllerError, NotLeadingError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return 130
    print(folder, flush=True)
    return 130 if interrupted else 0


def calibrate(arguments: list[str]) -> int:
    """Measure a live stack and write its platform file."""
    return _measure("calibrate", arguments)


def validate(arguments: list[str]) -> int:
    """Compare the twin with a live stack."""
    return _measure("validate", arguments)


def _measure(name: str, arguments: list[str]) -> int:
    """Bring a stack up, measure it, take it down."""

    def measured(line: str) -> Path:
        from twin.measure import settings

        config = settings.read(arguments)
        try:
            from twin.calibrate import command as calibration
            from twin.measure.bench import BenchError
            from twin.staging.layout import StackError
            from twin.validate import command as validation
        except ImportError as error:
            _fail(f"{error.name} is not installed; type: pip install 'wedtwin[staging]'")
        try:
            if name == "calibrate":
                return calibration.run(config)
            return validation.run(config, line, reporter("validation"))
        except (BenchError, StackError) as error:
            _fail(str(error))

    return _make(name, arguments, measured)


def _make(
    name: str,
    arguments: list[str],
    make: Callable[[str], Path],
    interrupted: str = "nothing is written",
) -> int:
    """Run a command that makes a file or folder; `make` gets the line that was typed."""
    try:
        secrets.learn_arguments(arguments)
        made = make(secrets.command_line(["python", "-m", "twin", name], arguments))
    except (ConfigError, ControllerError, OutputError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        return 130
    print(made, flush=True)
    return 0


def _fail(message: str) -> NoReturn:
    print(f"error: {secrets.redacted(message)}", file=sys.stderr)
    sys.exit(2)

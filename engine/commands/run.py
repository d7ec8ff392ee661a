"""`python -m engine run`: the engine in wall time, over real instances and real metrics.

`python -m engine serve` is the same with the API beside it.

A Hydra app: overrides, `--cfg job`, `--config-dir` and tab completion work as in any.  It ends
after `live.duration_s`, or when it is asked to: SIGTERM is the usual end of a service (exit code
0), Ctrl-C an interruption (130).  Either way the step in progress is finished, the memory saved and
the record written; its folder is the last line on stdout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from engine.commands.failing import failed
from engine.config import assignments, hydra_errors, secrets
from engine.config.composition import composed, needs_hydra
from engine.config.strict import ConfigError
from engine.ports.lease import NotLeadingError
from engine.record.folders import OutputError, check_writable

OURS = (ConfigError, OutputError, NotLeadingError)


def run(arguments: Sequence[str]) -> int:
    """Run until the end; returns the exit code."""
    return _begun("run", arguments)


def serve(arguments: Sequence[str]) -> int:
    """Run until the end, with the API; returns the exit code."""
    return _begun("serve", arguments)


def _begun(name: str, arguments: Sequence[str]) -> int:
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    secrets.learn_arguments(arguments)
    command = secrets.command_line(["python", "-m", "engine", name], arguments)
    serves = name == "serve"
    try:
        if needs_hydra(arguments):
            return _in_hydra(arguments, command, serves=serves)
        settings = composed(assignments.read(arguments).overrides, root="live")
        return _run(settings, command, serves=serves)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OURS as error:
        _fail(str(error))
    except hydra_errors.CAUGHT as error:
        _fail(hydra_errors.explain(error, arguments, root="live"))


def _in_hydra(arguments: Sequence[str], command: str, *, serves: bool) -> int:
    """The same as a Hydra application, for what only that can do."""
    import hydra

    code = 0

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name="live")
    def job(config: Any) -> None:
        nonlocal code
        # Errors end the process here: Hydra would add its own words to whatever passes through it.
        try:
            code = _run(_plain(config), command, serves=serves)
        except OURS as error:
            _fail(str(error))
        except hydra_errors.CAUGHT as error:
            _fail(hydra_errors.explain(error, arguments, root="live"))

    hydra_errors.check(arguments)
    job()
    return code


def _run(settings: dict[str, Any], command: str, *, serves: bool) -> int:
    secrets.learn(secrets.sealed(settings))

    from engine.config.live import parse  # it waits until each key is there

    config = parse(settings)
    check_writable(Path(config.output))
    check_writable(Path(config.live.state), "live.state")

    from engine.commands import assembly

    return assembly.run(config, settings, command, serves=serves)


def _plain(config: Any) -> dict[str, Any]:
    """Hydra's configuration as plain data."""
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config, resolve=True)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def _fail(message: str) -> NoReturn:
    sys.exit(failed(message))

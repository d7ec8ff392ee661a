"""`python -m reports FOLDER`: make the reports again of whatever left the folder.

Prints the path of the page.  Exit codes: 0 done, 2 bad input.
"""

from __future__ import annotations

import sys
from pathlib import Path

import reports


def main(arguments: list[str] | None = None) -> int:
    """Write the reports of the one folder given; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0].startswith("-"):
        sys.stderr.write(
            "usage: python -m reports FOLDER   (of a run, comparison, price, plan, backtest, "
            "forecast, hindcast, validation, sweep or bundle of evidence)\n"
        )
        return 0 if given in (["-h"], ["--help"]) else 2
    folder = Path(given[0])
    try:
        page = reports.write_whatever(folder)
    except reports.RecordError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or folder}: {error.strerror or error}\n")
        return 2
    sys.stdout.write(f"{page}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

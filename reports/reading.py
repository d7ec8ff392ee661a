"""A report's pages from the JSON file that holds all that it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reports.errors import RecordError


def pages_of(path: Path, make: Callable[[dict[str, Any]], dict[str, str]]) -> dict[str, str]:
    """What `make` makes of the file; raises RecordError for what is missing or no JSON."""
    try:
        return make(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from error
    except KeyError as error:
        raise RecordError(f"{path}: {error} is missing") from error

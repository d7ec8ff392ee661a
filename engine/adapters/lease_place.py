"""By which Lease of a cluster a folder's engine leads, if by one, for whoever asks beside it.

The engine says so in its state folder: the Lease's name, and how the cluster is reached.  Nothing
of that is secret.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.record.files import remove, write_atomically
from engine.security.foreign_json import parsed_object

FILE = "lease.place"
"""In the state folder of an engine that leads by a Lease."""


@dataclass(frozen=True, slots=True)
class LeasePlace:
    """The Lease `name`, in the cluster and namespace that `options` reach."""

    name: str
    options: Mapping[str, str]


def remember_lease(state: Path, place: LeasePlace | None) -> None:
    """Have it in the folder by what its engine leads; None: by no Lease.  Raises OSError."""
    if place is None:
        remove(state / FILE)
        return
    text = json.dumps({"name": place.name, "options": dict(place.options)}, sort_keys=True)
    write_atomically(state / FILE, f"{text}\n")


def lease_place(state: Path) -> LeasePlace | None:
    """By what Lease a folder's engine leads, None if by none; raises OSError."""
    file = state / FILE
    try:
        read = parsed_object(file.read_bytes())
        return LeasePlace(str(read["name"]), {str(k): str(v) for k, v in read["options"].items()})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise OSError(errno.EINVAL, "does not say which Lease", str(file)) from None

"""Kubernetes' quantities (`500m`, `1Gi`, `2e3`) as numbers."""

from __future__ import annotations

import re

SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
    "Ei": 2.0**60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")


def quantity(given: object) -> float:
    """The number that is meant; raises ValueError for what is no quantity."""
    match = _QUANTITY.fullmatch(str(given).strip())
    if match is None:
        raise ValueError(f'"{given}" is no quantity (such as 500m or 1Gi)')
    digits, exponent, suffix = match.groups()
    return float(digits + (exponent or "")) * SUFFIXES[suffix or ""]

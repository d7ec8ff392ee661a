"""The entries of a legend, each with a small SVG of how it looks.

Legends stand in the page as text, so that they break into lines on a narrow screen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: what it means, and a small SVG of how it looks."""

    meaning: str
    swatch: str


CROSS = "M9 3 L12 6 L9 9 L11 11 L14 8 L17 11 L19 9 L16 6 L19 3 L17 1 L14 4 L11 1 Z"
"""The path of a cross that swatches draw."""


def swatch(shape: str) -> str:
    """The small SVG of a legend, with `shape` on a canvas of 28 by 12."""
    return f'<svg class="key" viewBox="0 0 28 12" aria-hidden="true">{shape}</svg>'


def line_key(colour: str, dash: str, width: float) -> str:
    """A line for a legend."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    path = f'<path d="M1 6 H27" stroke="{colour}" stroke-width="{width}"{dashes} fill="none"/>'
    return swatch(path)


def dot_key(colour: str) -> str:
    """A dot for a legend."""
    return swatch(f'<circle cx="14" cy="6" r="4" fill="{colour}"/>')


def diamond_key(colour: str) -> str:
    """A hollow diamond for a legend."""
    path = f'<path d="M14 1 L19 6 L14 11 L9 6 Z" fill="white" stroke="{colour}"/>'
    return swatch(path)


def band_key(colour: str, opacity: float, edge: str = "none") -> str:
    """A filled band for a legend."""
    return swatch(
        f'<rect x="2" y="1" width="24" height="10" fill="{colour}" fill-opacity="{opacity:g}" '
        f'stroke="{edge}"/>'
    )

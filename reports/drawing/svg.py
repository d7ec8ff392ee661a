"""Figures as SVG text that stands inside the HTML.

The SVG is the same for the same figure: no date, no random ids, and coordinates in tenths of a
unit.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.drawing.legend import Key


@dataclass(frozen=True, slots=True)
class Plot:
    """An SVG element, a sentence that says what it shows, and its legend."""

    svg: str
    label: str
    keys: tuple[Key, ...]


_PROLOGUE = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)


_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


_GROUP_ID = re.compile(r'<g id="[^"]*"')


_PATH = re.compile(r' d="([^"]*)"')


_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


_TEXT = re.compile(r'<text style="([^"]*)"([^>]*)>')


_UNTURNED = re.compile(r' transform="rotate\(-?0(?:\.0+)? [^)]*\)"')


_BLANK = re.compile(r"\s*\n\s*")


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element: small, the same each time, its texts left to the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    width, height = figure.get_size_inches() * 72.0
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
    body = _PROLOGUE.sub("", buffer.getvalue(), count=1)
    body = _COMMENT.sub("", _METADATA.sub("", body))
    body = _GROUP_ID.sub("<g", body).replace("xlink:href", "href")
    body = _PATH.sub(lambda m: f' d="{_NUMBER.sub(_rounded, m[1])}"', body)
    body = _TEXT.sub(_plain_text, body)
    return head + _BLANK.sub("\n", body).strip()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _plain_text(text: re.Match[str]) -> str:
    """A text with attributes in place of styles, so that the page's CSS can set its size."""
    style = dict(part.split(":", 1) for part in text[1].split(";") if ":" in part)
    style = {key.strip(): value.strip() for key, value in style.items()}
    font = style.get("font", "")
    size = re.search(r"([\d.]+)px", font or style.get("font-size", ""))
    attributes = f' font-size="{size[1]}"' if size else ""
    if re.search(r"\b(?:bold|[67]00)\b", font.split("px")[0] + style.get("font-weight", "")):
        attributes += ' font-weight="600"'
    for key in ("text-anchor", "fill"):
        if key in style:
            attributes += f' {key}="{style[key]}"'
    rest = _UNTURNED.sub("", text[2])
    return f'<text font-family="sans-serif"{attributes}{_NUMBER.sub(_rounded, rest)}>'

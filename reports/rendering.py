"""Pages and Markdown texts, both of templates that ship with the package.

A page is one file that needs nothing else, on any screen and on paper. No script and no address
is in it, so it opens offline, from a mail or a build server's artifacts, and still does in ten
years. What goes into a page passes through Jinja's autoescape; only the plots, drawn here, are
markup.
What goes into a Markdown text is escaped by the filters that its template names.
"""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from reports import markdown


def page(name: str, **values: Any) -> str:
    """The page of the template `name`.html.j2."""
    return template(f"{name}.html.j2").render(values)


def text(name: str, **values: Any) -> str:
    """The Markdown text of the template `name`.md.j2."""
    return template(f"{name}.md.j2").render(values).rstrip("\n") + "\n"


@functools.cache
def template(name: str) -> Template:
    """One of the templates of this package."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "drawn": Markup,  # for SVG that `reports.drawing` made, nothing else
        "table": markdown.table,
        "plain_table": markdown.plain_table,
        "plain": markdown.plain,
        "cell": markdown.cell,
        "code": markdown.code,
        "fenced": markdown.fenced,
    }
    return environment.get_template(name)

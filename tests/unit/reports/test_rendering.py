"""Templates, and what Markdown texts are made of."""

from __future__ import annotations

from reports import markdown, rendering
from reports.tables import table

HOSTILE = "<b>|`@team`\n*one*"


def test_a_markdown_text_ends_with_one_new_line_and_is_not_escaped_by_itself() -> None:
    shown = table(("name", "USD"), " #", [(HOSTILE, "1")])
    text = rendering.text("sweep", title="a <b>", lede="All of it.", table=shown)
    assert text.startswith("# a <b>\n\nAll of it.\n\n| name | USD |\n| --- | ---: |\n")
    assert text.endswith("| <b>\\|`@team` *one* | 1 |\n")


def test_plain_words_have_nothing_in_them_that_markdown_acts_on() -> None:
    assert markdown.plain(HOSTILE) == "&lt;b&gt;\\|\\`&#64;team\\` \\*one\\*"
    (row,) = markdown.plain_table(table(("a",), " ", [(HOSTILE,)])).splitlines()[2:]
    assert row == f"| {markdown.plain(HOSTILE)} |"


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert markdown.fenced("```\n", "yaml") == "````yaml\n```\n````"
    assert markdown.code("a`b|c") == "`a'b¦c`"

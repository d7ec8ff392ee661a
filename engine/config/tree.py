"""The configuration tree as files: what `--help` shows of it, without composing anything."""

from __future__ import annotations

from importlib import resources


def groups() -> list[str]:
    """The groups of the tree."""
    return sorted(
        item.name
        for item in resources.files("conf").iterdir()
        if item.is_dir() and not item.name.startswith("_")
    )


def packaged_choices(group: str) -> list[str]:
    """The names that the packaged tree offers in a group; empty for what is no group."""
    folder = resources.files("conf").joinpath(group)
    return sorted(
        item.name.removesuffix(".yaml")
        for item in (folder.iterdir() if folder.is_dir() else ())
        if item.name.endswith(".yaml")
    )


def page(root: str, usage: str) -> str:
    """`usage`, then each group with its choices, then the keys of the root file with its words."""
    shown = [group for group in groups() if packaged_choices(group)]
    width = max(map(len, shown))
    chosen = "\n".join(
        f"  {group:<{width}}  {', '.join(packaged_choices(group))}" for group in shown
    )
    text = resources.files("conf").joinpath(f"{root}.yaml").read_text("utf-8")
    return f"{usage}\nGroups and their files:\n{chosen}\n\nKeys, from conf/{root}.yaml:\n\n{text}"

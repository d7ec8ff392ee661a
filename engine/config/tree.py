"""The configuration tree as files: what `--help` and errors show of it, nothing being composed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any


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


def keys(root: str, choices: Mapping[str, str] | None = None) -> list[str]:
    """All dotted keys of a root, with the default choices of its groups or those of `choices`.

    Those of the packaged files, so without what a command line adds and what Hydra has itself.
    """
    return list(dict.fromkeys(_keys("", root, choices or {})))


def _keys(group: str, name: str, choices: Mapping[str, str]) -> Iterator[str]:
    """The keys of one file, and of those that its defaults list names."""
    import yaml

    file = resources.files("conf").joinpath(*group.split("/"), f"{name}.yaml")
    if not file.is_file():
        return  # Hydra's own, or a choice that the user's folder has
    text = file.read_text("utf-8")
    tree = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # nosec B506
    for item in tree.pop("defaults", ()):
        if isinstance(item, str) and item != "_self_":
            yield from _keys(group, item, choices)
        elif isinstance(item, dict):
            ((key, choice),) = item.items()
            of = key.removeprefix("override ").removeprefix("/")
            yield from _keys(of, str(choices.get(of, choice)), choices)
    tree.pop("hydra", None)
    whole = not group or text.startswith("# @package _global_")
    yield from _dotted(tree, "" if whole else group.replace("/", "."))


def _dotted(tree: Mapping[str, Any], under: str) -> Iterator[str]:
    if under:
        yield under
    for key, value in tree.items():
        path = f"{under}.{key}" if under else str(key)
        if isinstance(value, Mapping):
            yield from _dotted(value, path)
        else:
            yield path

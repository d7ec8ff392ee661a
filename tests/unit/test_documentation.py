"""What the documentation names is there: files, links, modules, commands, make's targets."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import engine
from engine.commands.table import Command, usage

ROOT = Path(engine.__file__).parents[1]
TOPS = (
    "engine", "twin", "scenarios", "reports", "locustfiles", "conf", "benchmarks", "docs", "tests",
    "hydra_plugins", "mutation", ".ci",
)  # fmt: skip
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATH = re.compile(rf"(?<![\w/.:-])((?:{'|'.join(map(re.escape, TOPS))})/[\w./-]*\w|\.ci/\w+)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
REFERENCE = re.compile(r"\b((?:engine|twin|scenarios|reports)(?:\.\w+)+):([A-Za-z_]\w*)")
COMMAND = re.compile(
    r"python3? -m ((?:engine|twin|reports|mutation)(?:\.\w+)*)(?: ([a-z]+(?:-[a-z]+)*)\b(?!=))?"
)
TARGET = re.compile(r"(?:^|`)make ([a-z][a-z-]*)(?=[\s`]|$)", re.M)


def named(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """What a pattern matches in all pages, each once, with the page it is first on."""
    places: dict[tuple[str, ...], str] = {}
    for page in PAGES:
        for match in pattern.finditer(page.read_text(encoding="utf-8")):
            groups = tuple(group or "" for group in match.groups())
            places.setdefault(groups, page.relative_to(ROOT).as_posix())
    return [(page, *groups) for groups, page in places.items()]


def commands(program: str) -> dict[str, Command]:
    table: dict[str, Command] = import_module(f"{program}.__main__").COMMANDS
    return table


def test_every_path_is_there() -> None:
    paths = named(PATH)
    assert len(paths) > 50
    assert [(page, path) for page, path in paths if not (ROOT / path).exists()] == []


def test_every_link_leads_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text("utf-8"))]
    assert len(links) > 30
    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []


def test_every_module_and_callable_is_there() -> None:
    references = named(REFERENCE)
    assert len(references) > 3
    for page, module, name in references:
        assert hasattr(import_module(module), name), (page, module, name)


def test_every_command_is_one_that_the_command_line_has() -> None:
    places = named(COMMAND)
    assert {program for _, program, _ in places} >= {"engine", "twin", "reports"}
    for page, program, word in places:
        assert (ROOT / program.replace(".", "/")).exists() or (
            ROOT / f"{program.replace('.', '/')}.py"
        ).exists(), (page, program)
        if program in ("engine", "twin") and word:
            assert word in commands(program), (page, program, word)


def test_the_reference_of_the_commands_says_what_their_help_says() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    for program in ("twin", "engine"):
        assert usage(f"python -m {program}", commands(program)).rstrip() in page


def test_every_target_of_make_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    places = named(TARGET)
    assert len(places) > 5
    assert [(page, target) for page, target in places if target not in targets] == []


def test_every_page_is_named_in_the_contents() -> None:
    contents = set(LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES if "docs" in path.parts}
    kept_apart = {page for page in pages if page.startswith("decisions/")} | {"README.md"}
    assert "decisions/" in contents
    assert pages - kept_apart - contents == set()


def test_every_package_is_in_the_layout_table_of_contributing() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layout")[2]
    rows = set(re.findall(r"^\| `(\w+)/` \|", table, re.M))
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"benchmarks", "docs"}
    assert ours - rows == set()
    assert [row for row in rows if not (ROOT / row).is_dir()] == []

"""The contracts between the packages name every part of the engine, and ignore nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import engine

ROOT = Path(engine.__file__).parents[1]
MAY_KNOW = {
    "scenarios-speak-the-vocabulary": {"engine.model", "engine.config"},
    "reports-read-files": {"engine.model", "engine.record", "engine.record.schema"},
    "load-without-the-engine": {"engine.model", "engine.config", "engine.record"},
}


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert settings["unmatched_ignore_imports_alerting"] == "error"
    return {contract["id"]: contract for contract in settings["contracts"]}


def parts(folder: Path) -> set[str]:
    """The modules and packages of a package, dotted."""
    inner = {p.stem for p in folder.glob("*.py")} - {"__init__"}
    inner |= {p.name for p in folder.iterdir() if (p / "__init__.py").is_file()}
    dotted = ".".join(folder.relative_to(ROOT).parts)
    return {f"{dotted}.{name}" for name in inner}


def test_no_contract_ignores_an_import() -> None:
    assert not [name for name, contract in contracts().items() if "ignore_imports" in contract]


@pytest.mark.parametrize("name", MAY_KNOW)
def test_a_contract_about_the_engine_leaves_no_part_of_it_out(name: str) -> None:
    all_parts = parts(ROOT / "engine")
    if name == "reports-read-files":
        all_parts |= parts(ROOT / "engine" / "record")
    forbidden = {m for m in contracts()[name]["forbidden_modules"] if m.startswith("engine.")}
    assert forbidden == all_parts - MAY_KNOW[name]

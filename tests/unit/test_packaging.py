"""What a user gets: an installable distribution, pinned versions, an environment made by make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("twin", "engine", "scenarios", "reports", "conf", "locustfiles", "hydra_plugins")
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "outputs")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(repository, folder / "source", ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, source], check=True, timeout=600)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): version for name, version in (s.split("==") for s in lines)}


def test_wheel_holds_every_module_and_every_data_file(repository: Path, wheel: Path) -> None:
    expected = {
        file.relative_to(repository).as_posix()
        for package in PACKAGES
        for file in (repository / package).rglob("*")
        if file.suffix in {".py", ".yaml"}
        or (file.parent.name in ("templates", "page") and file.is_file())
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


@pytest.mark.slow
def test_installed_wheel_simulates_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    # Compiled where nobody has run them before, the kernels would take half a minute.
    # fmt: off
    ended = subprocess.run(
        [sys.executable, "-c", "import twin, twin.__main__; print(twin.__file__);"
         "twin.__main__.main()", "run", "scenario=quiet_tuesday", "population.simultaneous=50",
         "population.duration_s=1800", "output=records"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )
    # fmt: on
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.splitlines()
    assert Path(printed[0]).is_relative_to(tmp_path / "site")
    assert (tmp_path / printed[-1] / "summary.json").is_file()


def test_constraints_are_names_and_versions_in_order(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [s for s in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", s)]
    assert wrong == []
    assert lines == sorted(lines, key=str.lower)


def test_every_declared_dependency_admits_its_pin(repository: Path, pins: dict[str, str]) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(line for extra in extras for line in extra)]
    for requirement in map(Requirement, declared):
        if requirement.name != project["name"]:
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin), f"{requirement} does not admit {pin}"


def test_whatever_a_pinned_package_needs_is_pinned(repository: Path, pins: dict[str, str]) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    waiting = [*project["dependencies"], *extras["load"], *extras["test"]]
    seen: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or name == project["name"]:
            continue
        seen.add(name)
        assert name in pins, f"{name} is not in constraints.txt"
        if metadata.version(name) != pins[name]:
            continue  # installed without the constraints: what it needs says nothing about the pin
        chosen = requirement.extras or {""}
        for line in metadata.requires(name) or []:
            marker = Requirement(line).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in chosen):
                waiting.append(line)
    assert {"numpy", "locust", "pytest"} <= seen


class TestEnvironment:
    """`.ci/venv` on machines that lack something, played by programs put first on the PATH."""

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Path:
        """A folder of programs that hides all others but the basic ones."""
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("sh", "rm", "env"):
            program = shutil.which(name)
            assert program is not None
            (programs / name).symlink_to(program)
        return programs

    @staticmethod
    def program(folder: Path, name: str, *lines: str) -> None:
        file = folder / name
        file.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
        file.chmod(0o755)

    @staticmethod
    def create(repository: Path, machine: Path, *python: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [repository / ".ci" / "venv", machine.parent / "venv", "test", *python],
            cwd=repository,
            env={"PATH": str(machine)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def without_ensurepip(self, machine: Path) -> None:
        self.program(
            machine,
            "python3",
            'case "$*" in',
            "*ensurepip*|*virtualenv*) exit 1 ;;",
            '*"%d.%d"*) echo 3.12 ;;',
            "esac",
        )

    def test_too_old_a_python_is_named_with_the_way_out(
        self, repository: Path, machine: Path
    ) -> None:
        self.program(machine, "python3", '[ "$1" = --version ] && echo Python 3.9.2', "exit 1")
        ended = self.create(repository, machine)
        assert ended.returncode == 2
        assert "Python 3.11 or newer is needed; 'python3' is: Python 3.9.2" in ended.stderr
        assert "make PYTHON=" in ended.stderr

    def test_a_newer_python_beside_an_old_one_is_taken(
        self, repository: Path, machine: Path
    ) -> None:
        self.program(machine, "python3", "exit 1")
        self.program(machine, "python3.12", 'echo "taken: $*" >&2', "exit 0")
        ended = self.create(repository, machine)
        assert "taken: -m venv" in ended.stderr

    def test_without_ensurepip_and_rights_there_is_one_command_to_type(
        self, repository: Path, machine: Path
    ) -> None:
        self.without_ensurepip(machine)
        self.program(machine, "apt-get", 'echo "must not be called: $*" >&2', "exit 9")
        self.program(machine, "id", "echo 1000")
        self.program(machine, "sudo", "exit 1")
        ended = self.create(repository, machine)
        assert ended.returncode == 2
        assert "sudo apt-get update && sudo apt-get install --yes python3.12-venv" in ended.stderr
        assert "must not be called" not in ended.stderr

    @pytest.mark.parametrize("user", ["0", "1000"])
    def test_without_ensurepip_but_with_rights_the_package_is_installed(
        self, repository: Path, machine: Path, user: str
    ) -> None:
        self.without_ensurepip(machine)
        self.program(machine, "apt-get", 'echo "apt-get $*" >&2')
        self.program(machine, "id", f"echo {user}")
        self.program(machine, "sudo", 'shift; [ "$*" = true ] || echo "as root: $*" >&2; exec "$@"')
        self.program(machine, "true", "exit 0")
        ended = self.create(repository, machine)
        assert "install --yes -qq --no-install-recommends python3.12-venv" in ended.stderr
        assert ("as root:" in ended.stderr) == (user != "0")


def test_make_help_lists_every_target(repository: Path) -> None:
    help_text = subprocess.run(
        ["make", "help"], cwd=repository, capture_output=True, text=True, timeout=600, check=True
    ).stdout
    for target in ("run", "test", "lint", "format", "clean"):
        assert re.search(rf"^{target} ", help_text, re.MULTILINE)

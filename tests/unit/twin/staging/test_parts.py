"""What is missing is named with one command that installs it; the files fit the platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.model import BootTime, Call, ServiceSpec
from twin.staging import layout, parts
from twin.staging.layout import Layout, Stack, StackError, StagedService


def stack(*names: str) -> Stack:
    spec = ServiceSpec("", 1, 4, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1)
    calls = (Call("database", 1.6),) if "database" in names else ()
    return Stack(
        token="t",
        seed=1,
        weddings=10,
        zones=("a", "b"),
        ports={"front": 1001, "exporter": 1002, "prometheus": 1003},
        services={
            name: StagedService(
                replace(spec, name=name, calls=calls if name == "api" else ()), 20.0, 5.0
            )
            for name in names
        },
    )


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parts,
        "PACKAGES",
        {"no-haproxy": ("haproxy", ()), "no-initdb": ("postgresql", ("/no/*/such/initdb",))},
    )
    monkeypatch.setattr(parts, "MODULES", ("no_such_module",))
    with pytest.raises(StackError) as raised:
        parts.find_programs()
    assert str(raised.value).splitlines() == [
        "missing on this machine: haproxy, postgresql; install: "
        "sudo apt-get install --yes --no-install-recommends haproxy postgresql",
        "missing in this Python: no_such_module; install: "
        'pip install -c constraints.txt -e ".[staging]"',
    ]


def test_a_program_that_is_not_on_the_path_is_found_in_its_place_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9", "15", "13"):
        program = tmp_path / version / "bin" / "my-postgres"
        program.parent.mkdir(parents=True)
        program.touch()
    monkeypatch.setattr(
        parts, "PACKAGES",
        dict.fromkeys(parts.PACKAGES, ("x", (f"{tmp_path}/*/bin/my-postgres",))),
    )  # fmt: skip
    monkeypatch.setenv("PATH", "")
    assert parts.find_programs().postgres == tmp_path / "15" / "bin" / "my-postgres"


@pytest.mark.parametrize(
    ("services", "front", "routes"),
    [
        (("api", "database", "real-time", "file-storage"), "api", ["real-time", "file-storage"]),
        (("shop", "till"), "shop", []),
    ],
)
def test_haproxy_has_a_backend_for_each_service_and_pages_go_where_they_belong(
    services: tuple[str, ...], front: str, routes: list[str]
) -> None:
    text = parts.haproxy_config(Layout(Path("/tmp/x")), stack(*services))
    assert [line.split()[1] for line in text.splitlines() if line.startswith("backend ")] == list(
        services
    )
    assert f"    default_backend {front}\n" in text
    used = [line.split()[1] for line in text.splitlines() if line.startswith("    use_backend ")]
    assert used == [*routes, "%[path,field(2,/)]"]


def test_a_stack_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    made = stack("api", "database")
    made.save(Layout(tmp_path))
    assert layout.load(Layout(tmp_path)) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "stack.json cannot be read"),
        ('{"version": 99}', "stack.json has version 99, this is 1"),
    ],
)
def test_a_stack_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackError, match=said):
        layout.load(Layout(tmp_path))

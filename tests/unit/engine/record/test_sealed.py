"""A record that is sealed opens as a whole, for who has the keys, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.adapters.cabinet_files import sealer_of
from engine.commands import keys, record
from engine.record.schema.summary import SEALED, SchemaError
from engine.record.schema.summary import read as read_summary
from engine.record.sealed import SUFFIX, open_into, seal
from engine.security.sealing import Sealer, keys_in, made

FILES = {
    "summary.json": b"{}\n",
    "timeline.parquet": b"PAR1\x00\xff",
    "plots/load.svg": b"<svg/>",
    "empty": b"",
}


def sealed(folder: Path, sealer: Sealer) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    seal(folder, sealer)
    return folder


def a_sealer() -> Sealer:
    key = made()
    return Sealer(lambda: keys_in(key, "here"))


@pytest.fixture
def sealer() -> Sealer:
    return a_sealer()


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


def test_nothing_is_left_in_plain_and_all_of_it_opens(tmp_path: Path, sealer: Sealer) -> None:
    folder = sealed(tmp_path / "record", sealer)
    assert set(read(folder)) == {SEALED, *(name + SUFFIX for name in FILES)}
    assert not any(
        content in there for content in FILES.values() if content for there in read(folder).values()
    )
    open_into(folder, tmp_path / "plain", sealer)
    assert read(tmp_path / "plain") == FILES


def _cut(folder: Path) -> None:
    path = folder / ("timeline.parquet" + SUFFIX)
    path.write_bytes(path.read_bytes()[:-1])


def _exchanged(folder: Path) -> None:
    one, other = folder / ("summary.json" + SUFFIX), folder / ("empty" + SUFFIX)
    one.rename(folder / "kept")
    other.rename(one)
    (folder / "kept").rename(other)


def _listed(folder: Path) -> None:
    marker = json.loads((folder / SEALED).read_text())
    (folder / SEALED).write_text(json.dumps(marker | {"files": marker["files"][:-8]}))


def _renamed(folder: Path) -> None:
    marker = json.loads((folder / SEALED).read_text())
    (folder / SEALED).write_text(json.dumps(marker | {"record": "0" * 16}))


@pytest.mark.parametrize(
    ("touch", "said"),
    [
        (_cut, "was touched"),
        (_exchanged, "was touched, or is something else"),
        (_listed, "was touched"),
        (_renamed, "was touched"),
        (lambda folder: (folder / ("empty" + SUFFIX)).unlink(), "empty.sealed: is missing"),
        (lambda folder: (folder / "more").write_text("x"), "more: is no file of this record"),
        (lambda folder: (folder / SEALED).unlink(), "is no sealed record"),
        (lambda folder: (folder / SEALED).write_text("[]"), "was touched"),
        (
            lambda folder: (folder / SEALED).write_text('{"version":9,"record":"","files":""}'),
            "of version 9",
        ),
    ],
)  # fmt: skip
def test_what_was_touched_is_named_and_nothing_is_opened(
    tmp_path: Path, sealer: Sealer, touch: Callable[[Path], None], said: str
) -> None:
    folder = sealed(tmp_path / "record", sealer)
    touch(folder)
    with pytest.raises(ValueError, match=said):
        open_into(folder, tmp_path / "plain", sealer)
    assert {path.name for path in tmp_path.iterdir()} == {"record"}


def test_a_file_of_another_record_of_the_same_key_is_refused(
    tmp_path: Path, sealer: Sealer
) -> None:
    one, other = sealed(tmp_path / "one", sealer), sealed(tmp_path / "other", sealer)
    shutil.copy(other / ("empty" + SUFFIX), one / ("empty" + SUFFIX))
    with pytest.raises(ValueError, match="was touched, or is something else"):
        open_into(one, tmp_path / "plain", sealer)


def test_without_its_key_it_stays_closed(tmp_path: Path, sealer: Sealer) -> None:
    folder = sealed(tmp_path / "record", sealer)
    with pytest.raises(ValueError, match="which is not here"):
        open_into(folder, tmp_path / "plain", a_sealer())


def test_what_is_there_is_not_written_over(tmp_path: Path, sealer: Sealer) -> None:
    folder = sealed(tmp_path / "record", sealer)
    (tmp_path / "plain").mkdir()
    with pytest.raises(FileExistsError):
        open_into(folder, tmp_path / "plain", sealer)


def test_what_reads_records_says_that_this_one_is_sealed(tmp_path: Path, sealer: Sealer) -> None:
    folder = sealed(tmp_path / "record", sealer)
    with pytest.raises(SchemaError, match="is sealed; python -m engine record open"):
        read_summary(folder)


def test_its_owner_opens_it_on_the_command_line_and_the_audit_log_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    assert record.run(["open", str(tmp_path), str(tmp_path / "out"), "--state", str(state)]) == 2
    assert "nothing is sealed" in capsys.readouterr().err
    assert keys.run(["make", str(tmp_path / "keys")]) == 0
    assert keys.run(["use", "--file", str(tmp_path / "keys"), "--state", str(state)]) == 0
    used = sealer_of(state)
    assert used is not None
    folder = sealed(tmp_path / "record", used)
    given = ["open", str(folder), str(tmp_path / "plain"), "--state", str(state), "--why", "look"]
    assert record.run(given) == 0
    assert read(tmp_path / "plain") == FILES
    assert record.run(given) == 2
    assert "is there already" in capsys.readouterr().err

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from engine.prediction import artefact
from engine.prediction.artefact import (
    Artefact,
    ArtefactError,
    Manifest,
    dump,
    fingerprint,
    load,
)

TRAIN = """
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from engine.prediction.artefact import Artefact, Manifest, dump
rng = np.random.default_rng(3)
x = rng.normal(size=(500, 3))
model = HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=5, random_state=0)
model.fit(x, x[:, 0])
state = {"b": model, "a": np.arange(3.0), "names": ["x", "y"], "c": {"d": [1.5, None, True]}}
made = dump(Artefact(Manifest("test", 1, "f00", 5.0, 3, {"wape": 0.1}), state))
"""


@pytest.fixture(scope="module")
def fitted() -> Artefact:
    x = np.random.default_rng(3).normal(size=(500, 3))
    model = HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=5, random_state=0)
    return Artefact(
        Manifest("test", 1, "f00", 5.0, 3, {"wape": 0.1}),
        {"model": model.fit(x, x[:, 0]), "scores": np.arange(3.0)},
    )


def parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archived(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_manifest(content: bytes, **changes: Any) -> bytes:
    both = parts(content)
    manifest = json.loads(both["manifest.json"]) | changes
    return archived(both | {"manifest.json": json.dumps(manifest).encode()})


def with_state(content: bytes, state: Any) -> bytes:
    model = artefact._canonical(skops.io.dumps(state))
    both = parts(with_manifest(content, sha256=hashlib.sha256(model).hexdigest()))
    return archived(both | {"model.skops": model})


def test_a_model_comes_back_as_it_was(fitted: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "models" / "one.wedmodel"
    artefact.save(fitted, path)
    back = load(path, "test", 1, "f00")
    assert back.manifest == fitted.manifest
    x = np.random.default_rng(4).normal(size=(50, 3))
    assert np.array_equal(back.state["model"].predict(x), fitted.state["model"].predict(x))
    assert np.array_equal(back.state["scores"], fitted.state["scores"])
    assert [file.name for file in path.parent.iterdir()] == ["one.wedmodel"]


def test_what_was_loaded_and_saved_again_is_the_same_bytes(fitted: Artefact) -> None:
    assert dump(load(dump(fitted), "test", 1)) == dump(fitted)


def test_the_same_seed_gives_the_same_bytes_in_any_process(repository: Path) -> None:
    here: dict[str, Any] = {}
    exec(TRAIN, here)
    there = subprocess.run(
        [sys.executable, "-c", TRAIN + "import sys; sys.stdout.buffer.write(made)"],
        env=os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(repository)},
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert there == here["made"]
    assert len(there) > 10_000


def test_a_fingerprint_follows_every_value_and_no_order_of_names() -> None:
    one = fingerprint({"x": np.arange(3.0), "zones": "a,b"})
    assert one == fingerprint({"zones": "a,b", "x": np.arange(3.0)})
    others = [
        {"x": np.arange(3), "zones": "a,b"},
        {"x": np.arange(4.0), "zones": "a,b"},
        {"x": np.arange(3.0), "zones": "a,c"},
        {"y": np.arange(3.0), "zones": "a,b"},
    ]
    assert len({one, *map(fingerprint, others)}) == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: b"", "damaged or not a model"),
        (lambda _: b"hello", "damaged or not a model"),
        (lambda good: good[: len(good) // 2], "damaged or not a model"),
        (lambda _: pickle.dumps({"a": 1}), "damaged or not a model"),
        (lambda _: archived({"x.txt": b"x"}), "not a model of this program"),
        (lambda good: archived(parts(good), zipfile.ZIP_DEFLATED), "not a model of this program"),
        (
            lambda good: archived(parts(good) | {"manifest.json": b"\xff{"}),
            "cannot be read",
        ),
        (lambda good: archived(parts(good) | {"manifest.json": b"[]"}), "not a model of this"),
        (lambda good: archived(parts(good) | {"model.skops": b"x"}), "checksum does not match"),
        (lambda good: with_manifest(good, format="other"), "not a model of this program"),
        (lambda good: with_manifest(good, format_version=9), "has format version 9"),
        (lambda good: with_manifest(good, kind="season"), 'of kind "season", not "test"'),
        (lambda good: with_manifest(good, version=2), "has version 2 of test"),
        (lambda good: with_manifest(good, seed="x"), r"manifest\.seed is missing or wrong"),
        (lambda good: with_manifest(good, versions={"scikit-learn": "0.1"}), "scikit-learn 0.1"),
        (lambda good: with_state(good, {"m": LinearRegression()}), "LinearRegression, which"),
        (lambda good: with_state(good, {"f": os.getcwd}), "which a model may not"),
        (lambda good: with_state(good, {"f": np.add}), "which a model may not"),
        (lambda good: with_state(good, [1, 2]), "holds no model state"),
    ],
)
def test_a_corrupt_or_foreign_file_is_refused(
    fitted: Artefact, spoil: Callable[[bytes], bytes], message: str
) -> None:
    with pytest.raises(ArtefactError, match=message):
        load(spoil(dump(fitted)), "test", 1)


def test_no_flipped_byte_gets_through_unnoticed(fitted: Artefact) -> None:
    good = bytearray(dump(fitted))
    for position in range(0, len(good), max(len(good) // 60, 1)):
        spoilt = bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            back = load(spoilt, "test", 1)
        except ArtefactError:
            continue
        assert dump(back) == bytes(good)  # what the archive says twice or of no account


def test_other_training_data_is_noticed(fitted: Artefact) -> None:
    with pytest.raises(ArtefactError, match="trained on other data"):
        load(dump(fitted), "test", 1, training_data="beef")


def test_the_refusal_names_the_file_and_lets_a_caller_do_without(tmp_path: Path) -> None:
    path = tmp_path / "broken.wedmodel"
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ArtefactError, match=r"broken\.wedmodel: is damaged"):
        load(path, "test", 1)
    model, why = artefact.load_or_none(tmp_path / "none.wedmodel", "test", 1)
    assert model is None
    assert "none.wedmodel: cannot be read (No such file or directory)" in why

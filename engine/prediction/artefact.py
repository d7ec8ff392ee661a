"""Trained models as files: versioned, bound to their training data, safe to open.

A file is an archive of two parts: `manifest.json` says what it is, what it was trained on and with
which versions, and `model.skops` holds the state.  Opening it runs no code of the file's choosing:
skops builds objects of named types only, and here only those in `TRUSTED`.  A pickle could do
anything, so none is ever read.

skops names what it stores by memory addresses, which differ from process to process.  They are
numbered anew and the archive is written without times, so the same model is the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops
from numpy.typing import NDArray

from engine.record.files import write_atomically
from engine.security.foreign_json import ForeignJsonError, parsed

FORMAT = "wedtwin-model"
FORMAT_VERSION = 1
LIMIT_BYTES = 512 * 1024 * 1024
"""No model is larger than this; what claims to be is refused before it is read."""

_BOOSTING = "sklearn.ensemble._hist_gradient_boosting"
TRUSTED = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.ndarray",
        "numpy.float64",
        "numpy.int64",
        "numpy.uint64",
        "numpy.random._generator.Generator",
        f"{_BOOSTING}.binning._BinMapper",
        f"{_BOOSTING}.gradient_boosting.HistGradientBoostingRegressor",
        f"{_BOOSTING}.predictor.TreePredictor",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.PinballLoss",
    }
)
"""The types that a model may be made of."""
LOADERS = frozenset(
    {
        "DictNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "NdArrayNode",
        "ObjectNode",
        "RandomGeneratorNode",
        "TupleNode",
        "TypeNode",
    }
)
"""The ways in which skops may build them: none calls a function that the file names."""

_PARTS = ("manifest.json", "model.skops")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class ArtefactError(ValueError):
    """The file is no model that may be used here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is.

    `kind` and `version` name the class of model and the version of its state; `fingerprint` is
    that of its training data (`fingerprint`), `trained_until_s` (epoch seconds) the end of what it
    has seen.  `figures` are what was measured when it was trained.
    """

    kind: str
    version: int
    fingerprint: str
    trained_until_s: float
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """A model with its manifest.

    `state` holds plain values, lists, dicts with text keys, arrays and scikit-learn's gradient
    boosting.
    """

    manifest: Manifest
    state: Mapping[str, Any]


def fingerprint(parts: Mapping[str, NDArray[Any] | str | float]) -> str:
    """SHA-256 over named arrays and values, by name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        if isinstance(part, np.ndarray):
            array = np.ascontiguousarray(part)
            digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
            digest.update(array.tobytes())
        else:
            digest.update(f"{name}:{part!r}:".encode())
    return digest.hexdigest()


def dump(artefact: Artefact) -> bytes:
    """The artefact as bytes: the same for the same model, in any process."""
    from skops import io as models  # only here: it looks through all that is imported

    model = _canonical(models.dumps(dict(artefact.state)))
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **asdict(artefact.manifest),
        "figures": dict(artefact.manifest.figures),
        "versions": _versions(),
        "sha256": hashlib.sha256(model).hexdigest(),
    }
    text = json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False) + "\n"
    return _archive({_PARTS[0]: text.encode(), _PARTS[1]: model})


def save(artefact: Artefact, path: Path) -> None:
    """Write the artefact: whole or not at all.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, dump(artefact))


def load(source: Path | bytes, kind: str, version: int, training_data: str = "") -> Artefact:
    """The artefact of the given kind and version in a file, or in its bytes.

    With `training_data` it must have been trained on the data with that fingerprint.  Raises
    ArtefactError where it cannot be read, is damaged, is something else, holds a type that is not
    in `TRUSTED` or was made by other versions of the libraries.
    """
    name = "the model" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _read(source)
    try:
        return _opened(content, kind, version, training_data)
    except ArtefactError as error:
        raise ArtefactError(f"{name}: {error}") from None


def load_or_none(source: Path | bytes, kind: str, version: int) -> tuple[Artefact | None, str]:
    """The artefact, or None and why it is refused: for callers that can do without."""
    try:
        return load(source, kind, version), ""
    except ArtefactError as error:
        return None, str(error)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ArtefactError(f"{path}: is larger than {LIMIT_BYTES:,} bytes, not a model")
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from None


def _opened(content: bytes, kind: str, version: int, training_data: str) -> Artefact:
    parts = _parts(content)
    manifest = _manifest(parts[_PARTS[0]])
    if manifest["format_version"] != FORMAT_VERSION:
        raise ArtefactError(
            f"has format version {manifest['format_version']}, this program reads "
            f"{FORMAT_VERSION}; train anew"
        )
    if hashlib.sha256(parts[_PARTS[1]]).hexdigest() != manifest["sha256"]:
        raise ArtefactError("is damaged (its checksum does not match)")
    if manifest["kind"] != kind:
        raise ArtefactError(f'is a model of kind "{manifest["kind"]}", not "{kind}"')
    if manifest["version"] != version:
        raise ArtefactError(
            f"has version {manifest['version']} of {kind}, this program has {version}; train anew"
        )
    if manifest["versions"] != _versions():
        made = ", ".join(f"{k} {v}" for k, v in sorted(manifest["versions"].items()))
        here = ", ".join(f"{k} {v}" for k, v in sorted(_versions().items()))
        raise ArtefactError(f"was made with {made}, here is {here}; train anew")
    if training_data and manifest["fingerprint"] != training_data:
        raise ArtefactError("was trained on other data; train anew")
    _check_types(parts[_PARTS[1]])
    from skops import io as models  # only here: it looks through all that is imported

    try:
        state = models.loads(parts[_PARTS[1]], trusted=sorted(TRUSTED))
    except Exception as error:  # whatever a foreign file makes skops or scikit-learn raise
        raise ArtefactError(f"cannot be rebuilt ({type(error).__name__}: {error})") from None
    if not isinstance(state, dict):
        raise ArtefactError("holds no model state")
    return Artefact(
        Manifest(
            kind=kind,
            version=version,
            fingerprint=manifest["fingerprint"],
            trained_until_s=manifest["trained_until_s"],
            seed=manifest["seed"],
            figures=manifest["figures"],
        ),
        state,
    )


def _parts(content: bytes) -> dict[str, bytes]:
    """The two parts of the archive, none of them compressed: what is read is what is there."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sorted(entry.filename for entry in entries) != sorted(_PARTS):
                raise ArtefactError("is not a model of this program")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ArtefactError("is not a model of this program")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError("is damaged or not a model of this program") from None


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        manifest = parsed(text)
    except ForeignJsonError:
        raise ArtefactError("is damaged (its manifest cannot be read)") from None
    expected: dict[str, type | tuple[type, ...]] = {
        "format": str,
        "format_version": int,
        "kind": str,
        "version": int,
        "fingerprint": str,
        "trained_until_s": (int, float),
        "seed": int,
        "figures": dict,
        "versions": dict,
        "sha256": str,
    }
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError("is not a model of this program")
    for key, kind in expected.items():
        if not isinstance(manifest.get(key), kind):
            raise ArtefactError(f"is damaged (manifest.{key} is missing or wrong)")
    if not math.isfinite(manifest["trained_until_s"]):
        raise ArtefactError("is damaged (manifest.trained_until_s is missing or wrong)")
    return manifest


def _check_types(model: bytes) -> None:
    """Refuse a model with any type or way of building it that is not listed."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ArtefactError("is not a model of this program")
            pending = [json.loads(archive.read("schema.json"))]
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError("is damaged (its state cannot be read)") from None
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                name = f"{node.get('__module__')}.{node.get('__class__')}"
                if node["__loader__"] not in LOADERS or name not in TRUSTED:
                    raise ArtefactError(
                        f"holds {name}, which a model may not; do not use this file"
                    )
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _canonical(model: bytes) -> bytes:
    """Skops' archive with its memory addresses numbered in order, and without times.

    Each occurrence gets a number of its own: whether two equal values happen to be one object in
    memory must not show.
    """
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        schema = json.loads(archive.read("schema.json"))
        contents = {name: archive.read(name) for name in archive.namelist()}
    parts: dict[str, bytes] = {}
    nodes = itertools.count()

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(value) for value in node]
        if not isinstance(node, dict):
            return node
        fresh: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__":
                fresh[key] = next(nodes)
            elif key == "file" and isinstance(value, str) and value in contents:
                fresh[key] = f"{len(parts):06d}{Path(value).suffix}"
                parts[fresh[key]] = contents[value]
            else:
                fresh[key] = renamed(value)
        return fresh

    text = json.dumps(renamed(schema), separators=(",", ":"))
    return _archive({"schema.json": text.encode(), **parts})


def _archive(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o600 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return buffer.getvalue()


def _versions() -> dict[str, str]:
    """Versions that decide whether a state can be read: those of the libraries, without patch."""
    return {
        "scikit-learn": ".".join(sklearn.__version__.split(".")[:2]),
        "skops": ".".join(skops.__version__.split(".")[:2]),
    }

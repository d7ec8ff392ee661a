"""`keys make|use|list|rotate|retire`: what the engine's own documents are sealed with."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from engine.adapters.cabinet_files import FOLDER, PLACE, PLAIN, FileCabinet, sealer_of
from engine.adapters.store.database import Database
from engine.adapters.store.place import database_of
from engine.adapters.store.resealing import reseal, seal_credentials, texts_under
from engine.adapters.store.sqlite import FILE, SqliteFile
from engine.commands.asking import STATE, folder
from engine.commands.failing import failed
from engine.commands.permitted import NotAllowedError, permitted
from engine.ports.cabinet import CabinetError
from engine.record.files import replacing
from engine.security.audit.sealed_rows import renew
from engine.security.roles import Permission
from engine.security.sealing import (
    ARMOUR,
    KeyPlace,
    SealedCabinet,
    Sealer,
    SealError,
    key_of,
    keys_in,
    made,
    place_in,
    place_text,
)

PURPOSES = {
    "make": "Make a file with one new key; keep a copy of it elsewhere.",
    "use": "Seal what is in the state folder from now on, with the keys of a file, a variable or a "
           "command.  A running engine has to be started again.",
    "list": "The keys by their ids, the one that seals first, and what each has sealed.",
    "rotate": "Put a new key on top of the file and seal everything anew; nothing has to stop.",
    "retire": "Take a key away that seals nothing any more.",
}  # fmt: skip


def run(arguments: Sequence[str]) -> int:
    """Do it; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "make":
                _write_new(given.file, made())
                print(given.file)
            case "use":
                _use(given, parser)
            case "list":
                _list(given.state)
            case "rotate":
                _rotate(given)
            case _:
                _retire(given)
    except (NotAllowedError, SealError, CabinetError, OSError) as error:
        return failed(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine keys",
        description="What the engine's own documents are sealed with.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="make|use|list|rotate|retire"
    )
    for name, purpose in PURPOSES.items():
        command = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        if name == "make":
            command.add_argument("file", type=Path, metavar="FILE", help="must not be there yet")
            continue
        command.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                             help=f"the engine's state folder (default: {STATE})")  # fmt: skip
        if name == "use":
            place = command.add_mutually_exclusive_group(required=True)
            place.add_argument("--file", type=Path, metavar="FILE", help="as `keys make` makes it")
            place.add_argument("--variable", metavar="NAME", help="of the environment")
            place.add_argument("--command", dest="program", metavar="COMMAND",
                               help="prints the keys, such as a client of a vault")  # fmt: skip
        if name == "retire":
            command.add_argument("key", metavar="ID")
            command.add_argument("--even-so", action="store_true",
                                 help="though texts of the store are sealed with it, which nobody "
                                      "can read then")  # fmt: skip
        if name != "list":
            command.add_argument("--why", default="", metavar="TEXT",
                                 help="a reason, for the audit log")  # fmt: skip
    return parser


def _use(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    program = tuple(shlex.split(given.program)) if given.program else ()
    if given.program is not None and not program:
        parser.error("--command is empty")
    file = str(given.file.absolute()) if given.file else ""
    place = KeyPlace(file, given.variable or "", program)
    fresh = Sealer(place.read)
    before = sealer_of(given.state)
    with permitted(
        given.state, Permission.ROTATE_KEYS, verb="use keys", target=fresh.key_id, why=given.why,
        after={"key": fresh.key_id},
    ):  # fmt: skip
        _seal_anew(given.state, before, fresh)
        with _store(given.state) as store:
            if store is not None:
                seal_credentials(store, before, fresh)
        FileCabinet(given.state / FOLDER).change(PLACE, lambda _: place_text(place))


def _list(state: Path) -> None:
    _, place = _in_use(state)
    sealed = [key for key, _ in _sealed_with(state)]
    for key in place.read():
        texts = _texts_under(state, key.id)
        print(f"{key.id}  {sealed.count(key.id)} documents, {texts} texts of the store")


def _rotate(given: argparse.Namespace) -> None:
    sealer, place = _in_use(given.state)
    with permitted(
        given.state, Permission.ROTATE_KEYS, verb="rotate keys", target=sealer.key_id,
        why=given.why, after={},
    ):  # fmt: skip
        if place.file:
            path = Path(place.file)
            _replace(path, f"{made()}\n{path.read_text(encoding='utf-8')}")
        sealer.renew()
        _seal_anew(given.state, sealer, sealer)
        renew(SealedCabinet(FileCabinet(given.state / FOLDER), sealer, PLAIN))
        with _store(given.state) as store:
            if store is not None:  # a running engine goes on with it, should this be interrupted
                reseal(store, sealer)
    print(f"{sealer.key_id} seals from now on", file=sys.stderr)


def _retire(given: argparse.Namespace) -> None:
    sealer, place = _in_use(given.state)
    with permitted(
        given.state, Permission.ROTATE_KEYS, verb="retire key", target=given.key, why=given.why,
        after={},
    ):  # fmt: skip
        if not place.file:
            raise SealError("the keys are not in a file of the engine's; take it away where it is")
        if given.key == sealer.key_id:
            raise SealError(f"{given.key} seals now; rotate first")
        for key, name in _sealed_with(given.state):
            if key == given.key:
                raise SealError(f"{name} is sealed with {given.key}; rotate first")
        texts = _texts_under(given.state, given.key)
        if texts and not given.even_so:
            raise SealError(
                f"{texts} texts of the store are sealed with {given.key}, and nobody could read "
                "them any more; rotate again, or wait for the engine (--even-so)"
            )
        path = Path(place.file)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.lstrip().startswith(f"wtk_{given.key}_")]
        if len(kept) == len(lines):
            raise SealError(f'"{given.key}" is not the id of a key in {path}')
        keys_in("".join(kept), place.file)
        _replace(path, "".join(kept))


def _texts_under(state: Path, key_id: str) -> int:
    """How many texts of the store in the state folder are sealed with a key."""
    with _store(state) as store:
        return 0 if store is None else texts_under(store, key_id)


@contextmanager
def _store(state: Path) -> Iterator[Database | None]:
    """The store of the folder's engine, None where there is none yet; raises OSError."""
    database = database_of(state)
    with closing(database):
        is_there = not isinstance(database, SqliteFile) or (state / FILE).exists()
        yield database if is_there else None


def _in_use(state: Path) -> tuple[Sealer, KeyPlace]:
    text = FileCabinet(state / FOLDER).read(PLACE)
    if not text:
        raise SealError(f"{state}: nothing is sealed (python -m engine keys use)")
    place = place_in(text)
    return Sealer(place.read), place


def _sealed_with(state: Path) -> list[tuple[str, str]]:
    """The id of the key and the name of each document that is sealed."""
    cabinet = FileCabinet(state / FOLDER)
    texts = [(name, cabinet.read(name)) for name in cabinet.names()]
    return [(key_of(text), name) for name, text in texts if text.startswith(ARMOUR)]


def _seal_anew(state: Path, before: Sealer | None, after: Sealer) -> None:
    """Each document under the new key; one that is under it already stays as it is."""
    cabinet = FileCabinet(state / FOLDER)
    for name in cabinet.names():
        if name in PLAIN:
            continue

        def edit(text: str, name: str = name) -> str:
            if text.startswith(ARMOUR) and key_of(text) == after.key_id:
                return text
            if text.startswith(ARMOUR):  # what an interrupted command has sealed, without `before`
                text = (before or after).open_text(text, name)
            return after.seal_text(text, name)

        cabinet.change(name, edit)


def _write_new(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, text: str) -> None:
    with replacing(path) as unfinished:
        _write_new(unfinished, text.rstrip("\n"))

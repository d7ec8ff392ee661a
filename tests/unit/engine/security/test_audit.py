"""The audit log's parts: rows, trees, signed notes, and the verifier that needs nothing of us."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.security.audit import notes, verifier
from engine.security.audit.merkle import Frontier
from engine.security.audit.notes import Checkpoint, NoteError, Signer
from engine.security.audit.rows import AuditEntry, canonical
from engine.security.audit.verifier import TouchedError

# The inputs and roots with which implementations of RFC 6962 test themselves.
LEAVES = [bytes.fromhex(row) for row in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
B64_ROOT = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
KEY = Signer("wedtwin.test/audit", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def witness() -> tuple[str, bytes]:
    """A witness's verifier key, and which one it is (C2SP tlog-cosignature)."""
    public = b"\x04" + WITNESS.public_key().public_bytes_raw()
    key_id = sha256(b"second\n" + public).digest()[:4]
    return f"second+{key_id.hex()}+{base64.b64encode(public).decode()}", key_id


def cosigned(note: str, at_s: int) -> str:
    """The note, with a line of a witness that saw it at `at_s`."""
    body = note[: note.rindex("\n\n") + 1]
    signature = WITNESS.sign(f"cosignature/v1\ntime {at_s}\n{body}".encode())
    raw = witness()[1] + at_s.to_bytes(8, "big") + signature
    return f"{note}\N{EM DASH} second {base64.b64encode(raw).decode()}\n"


@pytest.mark.parametrize("size", range(9))
def test_trees_have_the_roots_of_the_standard(size: int) -> None:
    frontier = Frontier()
    for row in LEAVES[:size]:
        frontier.append(row)
    assert frontier.root().hex() == ROOTS[size]


def test_a_tree_goes_on_from_its_frontier() -> None:
    rows = [b"%d" % i for i in range(40)]
    whole = Frontier()
    for row in rows:
        again = Frontier(whole.size, whole.roots)
        whole.append(row)
        again.append(row)
        assert (again.size, again.root()) == (whole.size, whole.root())
    with pytest.raises(ValueError, match="a tree of 3 rows has 2 such roots"):
        Frontier(3, whole.roots[:1])


ENTRY = AuditEntry(
    at_ms=1_813_437_000_123, actor="pat", action="scale", target="api", outcome="accepted",
    why="Müller \U0001f492 arrives early", before={"target": 4}, after={"target": 6, "cost": 0.25},
)  # fmt: skip


def test_a_row_has_one_text() -> None:
    assert ENTRY.text() == (
        b'{"action":"scale","actor":"pat","after":{"cost":0.25,"target":6},"at_ms":1813437000123,'
        b'"before":{"target":4},"outcome":"accepted","target":"api",'
        b'"why":"M\xc3\xbcller \xf0\x9f\x92\x92 arrives early"}'
    )


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 2**53 - 1, True, None, "", '"\\/\b\f\n\r\t\x00\x1f\x7f\u2028é\U0001f492',
        0.5, -0.25, 123456.789, 1e-4, 9.999e-5, 1e-7, 1e15 + 0.5, 1e16, 1e21, 1e22, 5.0, -0.0,
        0.1 + 0.2, 1.7976931348623157e308, 5e-324, {"b": 1.5, "a": [1]}, {"é": 1},
        {"\U0001f492": 1, "\uffff": 2},
    ],
)  # fmt: skip
def test_the_text_is_that_of_rfc_8785(value: Any) -> None:
    row = {"z": 1, "value": value}
    assert canonical(row) == rfc8785.dumps(row)
    json.loads(canonical(row))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, -(2**60), "\ud800", {1, 2}])
def test_what_json_has_no_word_for_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        canonical({"value": value})


def test_a_checkpoint_is_read_by_whom_it_was_signed_for() -> None:
    checkpoint = Checkpoint("wedtwin.test/audit", 8, bytes.fromhex(ROOTS[8]))
    note = notes.signed(checkpoint, KEY)
    assert note.startswith(f"wedtwin.test/audit\n8\n{B64_ROOT}\n\n— wedtwin.test/audit ")
    assert notes.opened(note, KEY.verifier) == checkpoint
    assert notes.opened(cosigned(note, 1_813_437_000), KEY.verifier) == checkpoint
    other = Signer("second", WITNESS).verifier
    with pytest.raises(NoteError, match="not signed by second"):
        notes.opened(note, other)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda n: n.replace("\n8\n", "\n9\n"), "is not one of this note"),
        (lambda n: n.replace("— wedtwin", "— wedtwim"), "not signed by"),
        (lambda n: n.replace("— ", "- "), "no signed note"),
        (lambda n: n.replace("\n\n", "\n"), "no signed note"),
        (lambda n: n[:-1], "no signed note"),
        (lambda n: n[:-3] + "\n", "base64"),
        (lambda _: "", "no signed note"),
    ],
)
def test_a_note_that_was_touched_is_refused(changed: Any, said: str) -> None:
    note = notes.signed(Checkpoint("wedtwin.test/audit", 8, bytes.fromhex(ROOTS[8])), KEY)
    with pytest.raises(NoteError, match=said):
        notes.opened(changed(note), KEY.verifier)


@pytest.mark.parametrize("body", ["a\n08\nAA==\n", "a\n1\n", "\n1\nAA==\n", "a\n-1\nAA==\n"])
def test_a_signed_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    class Text(Checkpoint):
        @property
        def body(self) -> str:
            return body

    with pytest.raises(NoteError, match="no checkpoint"):
        notes.opened(notes.signed(Text("", 0, b""), KEY), KEY.verifier)


def export(folder: Path, sizes: list[int], rows: int) -> tuple[list[bytes], list[str]]:
    """A log of `rows` rows with a checkpoint at each of `sizes`; its lines and its notes."""
    frontier, lines, signed = Frontier(), [], []
    for number in range(rows):
        lines.append(
            AuditEntry(
                at_ms=1_813_437_000_000 + number, actor=f"a{number % 5}", action="scale",
                target="api", outcome="accepted", after={"target": number},
            ).text()
        )  # fmt: skip
        frontier.append(lines[-1])
        if frontier.size in sizes:
            checkpoint = Checkpoint("wedtwin.test/audit", frontier.size, frontier.root())
            signed.append(notes.signed(checkpoint, KEY))
    write(folder, lines, signed)
    return lines, signed


def write(folder: Path, lines: list[bytes], signed: list[str]) -> None:
    (folder / "rows.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "checkpoints").write_text("\n\n".join(signed), encoding="utf-8")


def test_the_verifier_needs_nothing_of_the_product(tmp_path: Path) -> None:
    lines, signed = export(tmp_path, [10, 25], 25)
    script = tmp_path / "verifier.py"
    script.write_bytes(Path(verifier.__file__).read_bytes())
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 100
    kept = tmp_path / "kept"
    kept.write_text(cosigned(signed[-1], 1_813_437_000), encoding="utf-8")

    def said(*words: object) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-I", script, *map(str, words)], capture_output=True, text=True,
            check=False, cwd=tmp_path,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    key, witness_key = KEY.verifier.text, witness()[0]
    assert said(tmp_path, key) == (0, "25 rows: whole\n")
    assert said(tmp_path, key, kept, witness_key)[0] == 0
    # Rolled back with its checkpoint: only who kept one can tell.
    write(tmp_path, [*lines, lines[0]], signed)
    assert said(tmp_path, key) == (1, "touched: 1 rows have no checkpoint\n")
    write(tmp_path, lines[:10], signed[:1])
    assert said(tmp_path, key)[0] == 0
    assert said(tmp_path, key, kept, witness_key) == (
        1, "touched: 10 rows are left\n"
    )  # fmt: skip
    assert said(tmp_path / "nowhere", key)[0] == 2


def test_no_random_edit_of_a_log_goes_unnoticed(tmp_path: Path) -> None:
    lines, signed = export(tmp_path, [7, 64, 100], 100)
    kept = ((signed[-1], KEY.verifier.text),)
    assert verifier.verified(tmp_path, KEY.verifier.text, kept) == 100
    rng = np.random.default_rng(11)
    for _ in range(1500):
        edited, remaining = list(lines), list(signed)
        kind = rng.choice(["byte", "drop", "swap", "cut", "back", "twice", "note"])
        at = int(rng.integers(len(lines)))
        if kind == "byte":
            place = int(rng.integers(len(edited[at])))
            edited[at] = flipped(edited[at], place, rng)
        elif kind == "drop":
            del edited[at]
        elif kind == "twice":
            edited.insert(at, edited[at])
        elif kind == "swap":
            other = (at + 1 + int(rng.integers(len(lines) - 1))) % len(lines)
            edited[at], edited[other] = edited[other], edited[at]
        elif kind == "cut":
            del edited[at:]
        elif kind == "back":
            del edited[at:], remaining[sum(size <= at for size in (7, 64, 100)) :]
        else:
            which = int(rng.integers(len(remaining)))
            raw = remaining[which].encode()
            remaining[which] = flipped(raw, int(rng.integers(len(raw))), rng).decode("latin-1")
        write(tmp_path, edited, remaining)
        with pytest.raises((TouchedError, InvalidSignature, ValueError)):
            verifier.verified(tmp_path, KEY.verifier.text, kept)


def flipped(text: bytes, place: int, rng: np.random.Generator) -> bytes:
    """Another byte there: never a new line, which would be a row more."""
    other = text[place] ^ (1 << int(rng.integers(7)))
    return text[:place] + bytes([other]) + text[place + 1 :]


def test_no_row_can_pass_for_a_subtree() -> None:
    # 0x00 before rows and 0x01 before nodes (RFC 6962, 2.1).
    frontier = Frontier()
    for row in (b"a", b"b"):
        frontier.append(row)
    left, right = (sha256(b"\x00" + row).digest() for row in (b"a", b"b"))
    assert frontier.root() == sha256(b"\x01" + left + right).digest()

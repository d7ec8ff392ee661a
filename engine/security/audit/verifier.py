"""Check an exported audit log.

Needs Python and `cryptography`, nothing of the product: copy this file, and read it first.
"""

import base64
import struct
import sys
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

USAGE = """usage: python verifier.py FOLDER KEY [NOTE WITNESS_KEY]
FOLDER holds rows.jsonl, a row a line, and checkpoints, signed notes one after another.  KEY is the
log's verifier key (NAME+ID+KEY), NOTE a checkpoint that somebody else has kept, WITNESS_KEY the
key of who signed that.  Formats: RFC 6962 section 2.1; C2SP signed-note, tlog-checkpoint and
tlog-cosignature.  Exits with 0 if all fits, with 1 if not, with 2 if it cannot be read.
"""


class TouchedError(Exception):
    """Something does not fit."""


def decoded(text: str) -> bytes:
    """The bytes of the one base64 text that they have."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise TouchedError("base64 that nobody writes")
    return raw


def opened(note: str, key: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a note that `key` signed."""
    name, key_id, encoded = key.strip().split("+", 2)
    public = decoded(encoded)
    if sha256(name.encode() + b"\n" + public).digest()[:4].hex() != key_id:
        raise TouchedError(f"the key {name} is damaged")
    body, signatures = note[: note.rfind("\n\n") + 1], note[note.rfind("\n\n") + 2 :]
    for line in signatures.removesuffix("\n").split("\n"):
        mark, signer, text = line.split(" ")
        signature = decoded(text)
        if mark != "\N{EM DASH}" or signer != name or signature[:4].hex() != key_id:
            continue
        message, signature = body.encode(), signature[4:]
        if public[0] == 4:  # a witness signs the time as well
            seen = struct.unpack(">Q", signature[:8])[0]
            message, signature = f"cosignature/v1\ntime {seen}\n{body}".encode(), signature[8:]
        Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, message)
        origin, size, root = body.split("\n")[:3]
        return origin, int(size), decoded(root)
    raise TouchedError(f"a checkpoint is not signed by {name}")


def verified(folder: Path, key: str, kept: tuple[tuple[str, str], ...] = ()) -> int:
    """How many rows there are, if all are under a checkpoint and whole; raises TouchedError."""
    texts = (folder / "checkpoints").read_text(encoding="utf-8").split("\n\n\n")
    own = [opened(note + "\n", key) for note in texts[:-1]] + [opened(texts[-1], key)]
    if own != sorted(own, key=lambda checkpoint: checkpoint[1]):
        raise TouchedError("the checkpoints are not in their order")
    every = own + [opened(note, witness) for note, witness in kept]
    if len({origin for origin, _, _ in every}) != 1:
        raise TouchedError("the checkpoints are not those of one log")
    due = sorted(every, key=lambda checkpoint: -checkpoint[1])
    roots: list[bytes] = []  # of the complete subtrees, the largest first
    size = 0
    with (folder / "rows.jsonl").open("rb") as rows:
        while True:
            while due and due[-1][1] == size:
                whole = roots[-1] if roots else sha256(b"").digest()
                for left in reversed(roots[:-1]):
                    whole = sha256(b"\x01" + left + whole).digest()
                if whole != due.pop()[2]:
                    raise TouchedError(f"the first {size} rows are not those of their checkpoint")
            line = rows.readline()
            if not line.endswith(b"\n"):
                break
            grown, bits = sha256(b"\x00" + line[:-1]).digest(), size
            while bits & 1:
                grown, bits = sha256(b"\x01" + roots.pop() + grown).digest(), bits >> 1
            roots.append(grown)
            size += 1
    if line or due or size != own[-1][1]:
        more = f"{size} rows are left" if due else f"{size - own[-1][1]} rows have no checkpoint"
        raise TouchedError(f"row {size} is cut off" if line else more)
    return size


if __name__ == "__main__":
    try:
        folder, key, *other = sys.argv[1:]
        kept = ((Path(other[0]).read_text(encoding="utf-8"), other[1]),) if other else ()
        sys.stdout.write(f"{verified(Path(folder), key, kept)} rows: whole\n")
    except (TouchedError, InvalidSignature) as error:
        sys.exit(f"touched: {error or 'a signature does not fit'}")
    except (OSError, ValueError, IndexError, struct.error) as error:
        sys.stderr.write(f"cannot be read: {error}\n\n{USAGE}")
        sys.exit(2)

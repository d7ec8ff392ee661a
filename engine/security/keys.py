"""Keys in files."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class KeyFileError(ValueError):
    """A key that cannot be used; the message names the file."""


def private_key(path: Path) -> Ed25519PrivateKey:
    """The signing key in a PEM file without a password; raises KeyFileError."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is no private key in PEM without a password: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is not an Ed25519 key")
    return key

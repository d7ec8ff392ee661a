"""TLS 1.3 on both sides, and certificates that are shown where they are configured."""

from __future__ import annotations

import ssl
from pathlib import Path


class TlsError(ValueError):
    """A certificate or a key that cannot be used; the message names the file."""


def server_context(certificate: Path, key: Path, clients: Path | None = None) -> ssl.SSLContext:
    """For whoever listens; with `clients`, what signs the certificates that clients may show.

    A client without one is let in as well, as people show tokens; one with a certificate that
    `clients` has not signed is not.  Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _show(context, certificate, key)
    if clients is not None:
        _trust(context, clients)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For whoever asks: trusts `ca` alone, or else what the system trusts; may show a certificate.

    Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if ca is None:
        context.load_default_certs()
    else:
        _trust(context, ca)
    if certificate is not None:
        _show(context, certificate, certificate if key is None else key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        if not path.is_file():
            raise TlsError(f"{path}: is not there")
    try:
        # Without a terminal nobody could type a password, so a key that has one is refused at once.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"{certificate} and {key}: cannot be used ({_reason(error)})") from None


def _trust(context: ssl.SSLContext, certificates: Path) -> None:
    try:
        context.load_verify_locations(cafile=certificates)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"{certificates}: cannot be used ({_reason(error)})") from None


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "is no certificate or key in PEM").lower().replace("_", " ")
    return error.strerror or str(error)

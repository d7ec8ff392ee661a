"""Where the engine may be reached without showing who one is: on its own machine, nowhere else."""

from __future__ import annotations

import ipaddress
import socket


class ExposureError(ValueError):
    """A place to listen at that is not safe; the message names what is missing."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at `host`; raises ExposureError."""
    try:
        resolved = socket.getaddrinfo(host or "0.0.0.0", None)  # nosec B104 ("" is everywhere)
    except (OSError, UnicodeError) as error:
        raise ExposureError(
            f'api.address: "{host}" is no address of this machine ({error})'
        ) from None
    return all(_is_loopback(str(address[0])) for *_, address in resolved)


def check(host: str, *, tls: bool, identity: bool) -> None:
    """Raise ExposureError where others could reach an engine that does not ask who they are.

    `tls`: there is a certificate.  `identity`: somebody besides the bootstrap token can be known.
    """
    if is_loopback(host):
        return
    missing = []
    if not tls:
        missing.append("TLS (api.tls.certificate and api.tls.key)")
    if not identity:
        missing.append(
            "identity (security.oidc, security.machines with api.tls.clients, or a token: "
            "python -m engine token create)"
        )
    if missing:
        raise ExposureError(
            f'api.address: "{host}" is not allowed without {" and ".join(missing)}; '
            "127.0.0.1 is for this machine alone"
        )


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

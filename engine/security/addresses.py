"""At which addresses a server can be that the engine asks or tells something.

An address in the configuration is of whoever owns the engine; where a name in it leads is of
whoever answers for the name.  A machine's own link is where clouds keep the credentials of the
machine, so nothing there is ever asked, however its address is spelled.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAMED, DOTTED = re.compile(r"[\w.-]+"), re.compile(r"\d+(\.\d+){3}")
"""What can be a name; four numbers that are no address are none, only a C library reads them."""
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052): the last four bytes are the address."""
NOBODYS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        # What clouds tell a machine about itself is also at these: AWS and Google over IPv6,
        # Alibaba and Azure.
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "100.100.100.200/32",
        "168.63.129.16/32",
    )
)
"""The link, whole groups of machines, nobody in particular, and the services of clouds."""


def address_of(text: str) -> Address:
    """The address that is meant, whatever it is wrapped in; raises ValueError for a name."""
    address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in TRANSLATED or 1 < int(address) < 2**32):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address if inner is None else inner


def is_nobodys(address: Address) -> bool:
    """Whether no server can be there that anybody would mean."""
    return any(address in network for network in NOBODYS)


def complaint(url: str) -> str:
    """Why no server can be asked at a URL, "" if one can; where a name leads only asking tells."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018, raises for one that is none
    except ValueError as error:
        return f"it is no URL ({error})"
    try:
        address = address_of(host)
    except ValueError:
        return "" if NAMED.fullmatch(host) and not DOTTED.fullmatch(host) else "it names no host"
    return f"no server of anybody's can be at {address}" if is_nobodys(address) else ""

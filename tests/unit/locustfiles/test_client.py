from __future__ import annotations

import pytest

from locustfiles.client import PlatformUnderTest, TargetError, is_loopback


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.3.2.1", True),
        ("https://localhost", True),
        ("http://[::1]:80", True),
        ("http://10.0.0.7", False),
        ("https://staging.example.com", False),
        ("nonsense", False),
    ],
)
def test_whether_load_stays_on_this_machine(address: str, here: bool) -> None:
    assert is_loopback(address) is here


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("https://staging.example.com/wedsync/", "staging.example.com", 443),
        ("http://[::1]", "::1", 80),
    ],
)
def test_an_address_is_a_target(address: str, host: str, port: int) -> None:
    target = PlatformUnderTest(address, 1024)
    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize("address", ["staging", "ftp://a", "http://", "http://a:b", "http://a:0"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(TargetError, match=r"--host: .* is not allowed .http://NAME"):
        PlatformUnderTest(address, 1024)

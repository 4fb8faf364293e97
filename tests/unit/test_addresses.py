"""What a server may fetch: what begins as its list says, read in one way only."""

from __future__ import annotations

import pytest

from pvc.addresses import address_of, allowed, problem_with_beginning

BEGINNINGS = ("https://images.example/debian/", "http://10.0.0.5:8080/", "https://[2001:db8::5]/")


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example/debian/12.qcow2",
        "https://IMAGES.example:443/debian/12.qcow2",
        "https://images.example./debian/a%20b/12.qcow2?key=a/b&c=..&d=%2F",
        "http://10.0.0.5:8080/a/b",
        "https://[2001:db8::5]/a",
    ],
)
def test_what_is_below_a_beginning_may_be_fetched(url: str) -> None:
    assert allowed(url, BEGINNINGS) is not None
    assert allowed(url, ()) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://images.example",
        "https://images.example/",
        "https://images.example/debian",
        "https://images.example/debian-evil/12",
        "https://images.example.evil/debian/12",
        "https://evil-images.example/debian/12",
        "http://images.example/debian/12",
        "https://images.example:8443/debian/12",
        "https://images.example:0443x/debian/12",
        "https://images.example:0/debian/12",
        "https://images.example:99999/debian/12",
        "https://images.example@evil.example/debian/12",
        "https://root:secret@images.example/debian/12",
        "https://images.example/debian/../secret",
        "https://images.example/debian/./12",
        "https://images.example/debian/..",
        "https://images.example/debian/%2e%2e/secret",
        "https://images.example/debian/.%2E/secret",
        "https://images.example/debian/..%2fsecret",
        "https://images.example/debian/..%5Csecret",
        "https://images.example/debian/..\\secret",
        "https://evil.example\\@images.example/debian/12",
        "https://images.example/debian/12#part",
        "https://images.example/debian/1 2",
        "https://images.example/debian/12\r\nHost: evil.example",
        "https://images.example/debian/12\n",
        "https://imag\u0435s.example/debian/12",
        "https:/images.example/debian/12",
        "https:images.example/debian/12",
        "//images.example/debian/12",
        "file:///etc/shadow",
        "ftp://images.example/debian/12",
        "https://[::1]/a",
        "http://127.0.0.1:8080/a",
        "http://10.0.0.5/a",
        "http://167772165:8080/a",
    ],
)
def test_what_only_looks_so_may_not(url: str) -> None:
    assert allowed(url, BEGINNINGS) is None


def test_an_address_is_shown_without_what_may_be_a_key() -> None:
    address = address_of("https://[2001:db8::5]:8443/a?token=secret")
    assert address is not None
    assert address.shown == "https://[2001:db8::5]:8443/a"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://images.example/", ""),
        ("https://images.example", 'does not end in "/"'),
        ("https://images.example/a", 'does not end in "/"'),
        ("https://images.example/?a/", "is no plain http or https address"),
        ("images.example/", "is no plain http or https address"),
        ("file:///images/", "is no plain http or https address"),
    ],
)
def test_a_beginning_is_an_address_that_ends_at_a_slash(text: str, problem: str) -> None:
    assert problem_with_beginning(text) == problem

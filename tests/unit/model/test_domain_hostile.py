"""Domain XML from somebody who means harm, or who is careless: one clear refusal, and quickly."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvc.errors import InvalidXML
from pvc.model import domain
from tests.parts import documents

UUID = "5d3ec1b0-0000-4000-8000-000000000001"


def refusal(text: str) -> str:
    with pytest.raises(InvalidXML) as caught:
        domain.normalise(text, new_uuid=UUID)
    return str(caught.value.fields["reason"])


def billion_laughs() -> str:
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE domain [<!ENTITY a0 "ha">{entities}]><domain><name>&a9;</name></domain>'


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE domain [<!ENTITY x "web1">]>' + documents.vm("&x;"),
        '<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + documents.vm("&x;"),
        '<!DOCTYPE domain SYSTEM "http://127.0.0.1:1/x.dtd">' + documents.vm(),
        '<!DOCTYPE domain PUBLIC "x" "file:///etc/passwd">' + documents.vm(),
        '<!DOCTYPE domain [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>' + documents.vm(),
        "<!DOCTYPE domain>" + documents.vm(),
        '<!DOCTYPE domain [<!ATTLIST domain id CDATA "1">]>' + documents.vm(),
    ],
)
def test_a_doctype_is_refused_whatever_it_holds(text: str) -> None:
    assert refusal(text) == "it has a DOCTYPE, which pvc does not accept"


def test_an_entity_that_nobody_declared_is_refused() -> None:
    assert "Entity" in refusal(documents.vm("&x;"))


def test_a_billion_laughs_are_refused() -> None:
    assert refusal(billion_laughs())


def test_a_billion_laughs_in_an_attribute_are_refused() -> None:
    assert refusal(billion_laughs().replace("<name>&a9;</name>", "<name x='&a9;'/>"))


def test_an_entity_does_not_bring_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("very secret")
    text = f'<!DOCTYPE domain [<!ENTITY x SYSTEM "file://{secret}">]>' + documents.vm("&x;")
    assert "very secret" not in refusal(text)


def test_an_inclusion_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("very secret")
    include = f"<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='{secret}' parse='text'/>"
    assert "very secret" not in domain.normalise(documents.vm(more=include), new_uuid=UUID)


@pytest.mark.parametrize("size", [domain.MAX_XML + 1, 50 << 20])
def test_a_document_that_is_too_long_is_refused_before_it_is_read(size: int) -> None:
    assert refusal("<" * size) == "it has more than 262144 bytes"


def test_a_document_nested_without_end_is_refused() -> None:
    assert refusal("<a>" * 80_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Document is empty"),
        ("   \n", "Start tag expected"),
        ("<network><name>x</name></network>", 'its root is "network" where "domain" is expected'),
        ("<domain xmlns='urn:x'/>", 'its root is "{urn:x}domain" where "domain" is expected'),
        ("<domain/>", "its name must be 1 to 64 letters"),
        (documents.vm("a/b"), "its name must be 1 to 64 letters"),
        (documents.vm("../x"), "its name must be 1 to 64 letters"),
        (documents.vm(UUID), "its name must not look like a UUID"),
        (documents.vm(uuid="web1"), 'its uuid "web1" is not a UUID'),
        (documents.vm().replace("64", "0"), "it has no memory"),
        (documents.vm().replace("64", "-1"), "it has no memory"),
        (documents.vm().replace("64", "many"), '"many" is not a whole number'),
        (documents.vm().replace("MiB", "MHz"), '"MHz" is not a unit of memory'),
        (documents.vm().replace(">1<", ">0<"), "it has no vcpu"),
        (documents.vm().replace(">1<", ">1_0<"), '"1_0" is not a whole number'),
        (documents.vm().replace("</domain>", "<devices/></domain>"), 'its element "devices" stands there twice'),
        (documents.vm(more="<os><kernel>x</kernel></os>"), 'its element "os" stands there twice'),
    ],
)
def test_a_document_that_is_no_vm_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert refusal(text).startswith(reason)


@pytest.mark.parametrize(
    "text", ["<domain", "<domain></x>", "no xml", "<domain>\0</domain>", "<domain>\ud800</domain>"]
)
def test_a_malformed_document_is_refused(text: str) -> None:
    assert refusal(text)


def test_a_number_without_end_is_refused() -> None:
    assert "is not a whole number" in refusal(documents.vm().replace("64", "9" * 5000))


def test_another_encoding_in_the_declaration_changes_nothing() -> None:
    text = "<?xml version='1.0' encoding='iso-8859-1'?>" + documents.vm(more="<title>Grün</title>")
    assert "Grün" in domain.normalise(text, new_uuid=UUID)


@pytest.mark.parametrize("text", ["<hostdev/>", "<filesystem/>", "<domain/>", "<controller type='usb'/>"])
def test_only_a_disk_or_an_interface_is_a_device_to_plug(text: str) -> None:
    with pytest.raises(InvalidXML, match='where one of "disk", "interface" is expected'):
        domain.parse_device(text, domain.DEVICES)


@pytest.mark.parametrize("text", ["", "disk", "<!-- x --><hostdev/>", "<disk/><disk/>", "<disk>&x;</disk>"])
def test_what_is_no_device_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidXML):
        domain.parse_device(text, domain.DEVICES)

"""Which bytes of an upload are the photo."""

from __future__ import annotations

from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request

from twin.staging.forms import FormError, file_of


def form(*parts: str, boundary: str = "b", end: str = "--b--\r\n") -> bytes:
    return ("".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + end).encode()


FILE = 'Content-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
FIELD = 'Content-Disposition: form-data; name="caption"\r\n\r\n'


@given(
    photo=st.binary(max_size=2000),
    caption=st.text(max_size=50),
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1),
)
def test_what_a_client_library_sends_is_what_comes_out(
    photo: bytes, caption: str, name: str
) -> None:
    sent = Request(
        "POST", "http://h/", files={"photo": (name, photo)}, data={"caption": caption}
    ).prepare()
    assert isinstance(sent.body, bytes)
    assert file_of(sent.body, sent.headers["Content-Type"].encode()) == photo


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data; boundary=b",
        b'multipart/form-data; boundary="b"',
        b"Multipart/Form-Data; charset=utf-8; boundary=b",
    ],
)
def test_a_content_type_may_be_written_in_many_ways(content_type: bytes) -> None:
    assert file_of(form(FIELD + "hi", FILE + "cake"), content_type) == b"cake"


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ('content-disposition: form-data; name=photo; filename=a.jpg\r\n\r\ncake', b"cake"),
        ('Content-Type: image/jpeg\r\nContent-Disposition: form-data; filename="x"\r\n\r\n', b""),
        (FILE + "--b in it", b"--b in it"),
        (FILE + "two\r\n\r\nlines\r\n", b"two\r\n\r\nlines\r\n"),
        (FILE + 'filename="other"', b'filename="other"'),
    ],
)  # fmt: skip
def test_only_what_stands_between_the_boundaries_counts(part: str, content: bytes) -> None:
    caption = FIELD + 'they said filename="no"'
    assert file_of(form(caption, part), b"multipart/form-data; boundary=b") == content


def test_the_first_of_several_files_is_the_photo() -> None:
    body = form(FILE + "one", FILE + "two")
    assert file_of(body, b"multipart/form-data; boundary=b") == b"one"


def test_what_is_no_form_is_the_photo_itself() -> None:
    for kind in (b"", b"image/jpeg", b"application/json", b"multipart/mixed; boundary=b"):
        assert file_of(b"--b\r\n", kind) == b"--b\r\n"


def test_a_form_of_another_library_is_read_too() -> None:
    made = MIMEMultipart("form-data", boundary="xyz")
    note = MIMEText("ours")
    note.add_header("Content-Disposition", "form-data", name="note")
    photo = MIMEApplication(b"\xff\xd8", "jpeg", lambda _: None)
    photo.set_payload("cake")
    photo.add_header("Content-Disposition", "form-data", name="p", filename="p.jpg")
    made.attach(note)
    made.attach(photo)
    body = made.as_bytes().split(b"\n\n", 1)[1].replace(b"\n", b"\r\n")
    assert file_of(body, b"multipart/form-data; boundary=xyz") == b"cake"


@pytest.mark.parametrize(
    ("body", "content_type", "complaint"),
    [
        (form(FILE + "x"), b"multipart/form-data", "names no boundary"),
        (form(FILE + "x"), b"multipart/form-data; boundary=", "names no boundary"),
        (b"no form at all", b"multipart/form-data; boundary=b", "cannot be read"),
        (form(FILE + "x", boundary="c"), b"multipart/form-data; boundary=b", "cannot be read"),
        (form(FILE + "x", end=""), b"multipart/form-data; boundary=b", "before its last boundary"),
        (b"", b"multipart/form-data; boundary=b", "before its last boundary"),
        (form(FIELD + "hi"), b"multipart/form-data; boundary=b", "holds no file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    body: bytes, content_type: bytes, complaint: str
) -> None:
    with pytest.raises(FormError, match=complaint):
        file_of(body, content_type)

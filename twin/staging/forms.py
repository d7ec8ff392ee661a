"""The file in an uploaded form (multipart/form-data, RFC 7578), read with python-multipart."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header


class FormError(ValueError):
    """The body is not what its content type says, or holds no file; the message says which."""


def file_of(body: bytes, content_type: bytes) -> bytes:
    """The content of the first file of a form; the whole body when it is no form.

    Raises FormError.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return body
    boundary = options.get(b"boundary")
    if not boundary:
        raise FormError("the form's content type names no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise FormError(f"the form cannot be read: {error}") from None
    if not parts.ended:
        raise FormError("the form ends before its last boundary")
    if parts.file is None:
        raise FormError("the form holds no file")
    return parts.file


class _Parts:
    """Takes what the parser finds: only the first part with a file's name is kept."""

    def __init__(self) -> None:
        self.file: bytes | None = None
        self.ended = False
        self._name, self._value = b"", b""
        self._disposition = b""
        self._content: list[bytes] = []

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": lambda read, start, end: self._content.append(read[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition, self._content = b"", []

    def _header_name(self, read: bytes, start: int, end: int) -> None:
        self._name += read[start:end]

    def _header_value(self, read: bytes, start: int, end: int) -> None:
        self._value += read[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if self.file is None and b"filename" in options:
            self.file = b"".join(self._content)

    def _end(self) -> None:
        self.ended = True

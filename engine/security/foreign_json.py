"""JSON that another program wrote, or a file that anybody may have changed.

A reader gets a value, or one error that says what is wrong with it.

`json.loads` raises errors of four kinds for text that it cannot read: JSONDecodeError,
UnicodeDecodeError, a plain ValueError for a whole number of more than 4,300 digits, and
RecursionError for brackets that are nested too deep.  The last one is no ValueError: a reader that
forgets it lets it through, and the loop around the reader ends.  Who reads what others
wrote therefore calls `parsed` or `parsed_object`, and catches `ForeignJsonError`.

JSON can spell halves of characters, which no file, no path and no terminal takes: each becomes a
question mark.

Two things are as in the standard library.  NaN and Infinity are read, since one odd number must not
cost all other rows of an answer; the caller checks its numbers.  Of equal keys the last one counts,
as in the programs that write most of these answers.
"""

from __future__ import annotations

import json
from typing import Any

HALF = "\\ud"
"""How the spelling of half a character begins."""


class ForeignJsonError(ValueError):
    """What was read is no JSON, or another kind of JSON than was asked for."""


def parsed(content: bytes | bytearray | str, *, mends: bool = True) -> Any:
    """The value; raises ForeignJsonError.

    Without `mends` halves of characters stay, for who has to refuse them: names that differ in
    them alone would become one.
    """
    try:
        if not isinstance(content, str):
            content = content.decode(json.detect_encoding(content))
        value = json.loads(content)
        return _of_whole_characters(value) if mends and HALF in content.lower() else value
    except json.JSONDecodeError as error:
        raise ForeignJsonError(f"no JSON ({error.msg} at character {error.pos})") from None
    except UnicodeDecodeError:
        raise ForeignJsonError("no JSON (the text has bytes that are no characters)") from None
    except ValueError:
        raise ForeignJsonError("no JSON that can be read (a number is too long)") from None
    except RecursionError:
        raise ForeignJsonError("no JSON that can be read (it is nested too deep)") from None


def parsed_object(content: bytes | bytearray | str) -> dict[str, Any]:
    """The value, which has to be an object; raises ForeignJsonError."""
    value = parsed(content)
    if not isinstance(value, dict):
        raise ForeignJsonError("JSON, but no object")
    return value


def _of_whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_of_whole_characters(one) for one in value]
    if isinstance(value, dict):
        return {_of_whole_characters(key): _of_whole_characters(one) for key, one in value.items()}
    return value


def whole(text: str) -> str:
    """The same with a question mark for each half of a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def words(value: object, most: int) -> str:
    """At most so many characters of a text in an answer, "" for anything that is no text."""
    return value[:most] if isinstance(value, str) else ""

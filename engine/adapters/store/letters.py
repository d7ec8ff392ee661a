"""How texts lie in the tables: as they are, or sealed by who has the keys."""

from __future__ import annotations

from typing import Protocol

from engine.security.sealing import ARMOUR

MEMORY, STATUS, HISTORY, STAGED = "memory", "status", "history", "staged"
"""What a text is, which it is sealed as."""


class Letters(Protocol):
    """Writes and reads them; `context` says what a text is, so that none passes for another."""

    def closed(self, text: str, context: str) -> str:
        """The text as it lies in a table."""
        ...

    def opened(self, text: str, context: str) -> str:
        """The text again; raises ValueError where it cannot be read."""
        ...


class PlainLetters:
    """Texts as they are."""

    def closed(self, text: str, context: str) -> str:  # noqa: ARG002 (as the protocol has it)
        """The same."""
        return text

    def opened(self, text: str, context: str) -> str:
        """The same; raises ValueError for one that somebody has sealed."""
        if text.startswith(ARMOUR):
            raise ValueError(f"{context}: is sealed, and there is no key (python -m engine keys)")
        return text


PLAIN = PlainLetters()


def of_request(name: str) -> str:
    """What a request's text is sealed as."""
    return f"request {name}"


def of_answer(decision_id: str) -> str:
    """What an answer's text is sealed as."""
    return f"answer {decision_id}"


def of_said(decision_id: str) -> str:
    """What the text of who has said what is sealed as."""
    return f"said {decision_id}"


def of_credential(name: str) -> str:
    """What the text of a credential is sealed as."""
    return f"credential {name}"


def of_history(kind: str) -> str:
    """What a row's text is sealed as; a memory that was put aside stays what it was."""
    return MEMORY if kind == "memory" else HISTORY


def readable(letters: Letters, text: str, context: str) -> str:
    """The text; raises OSError where it cannot be read."""
    try:
        return letters.opened(text, context) if text else ""
    except ValueError as error:
        raise OSError(0, str(error), context) from None

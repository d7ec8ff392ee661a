"""What a person at a wedding may ask the platform, by role, service and phase.

How often, and who, is not decided here: that comes from the same scenario as the twin's demand
(`locustfiles.plan`).  Only the choice among the requests of one service is ours; it is even,
because nothing is known about it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Method = Literal["GET", "POST", "WS"]


@dataclass(frozen=True, slots=True)
class JourneyStep:
    """One request a person may make; `phases` empty: at any time.

    `path` has a place for the wedding's id.  `body` is JSON, `photo` as the file of a
    multipart form.  A `WS` step follows a wedding over a WebSocket: it says `body`, takes the first
    update that comes, be it this or somebody else's, and leaves.
    """

    method: Method
    path: str
    phases: tuple[str, ...] = ()
    body: str = ""
    photo: bool = False


_OVERVIEW = JourneyStep("GET", "/weddings/{id}")
_GUESTS = JourneyStep("GET", "/weddings/{id}/guests")
_TIMELINE = JourneyStep("GET", "/weddings/{id}/timeline")
_UPDATES = JourneyStep("GET", "/weddings/{id}/updates")
_LIVE = JourneyStep("WS", "/weddings/{id}/live", body='{"text": "Cheers"}')
_PHOTO = JourneyStep("POST", "/weddings/{id}/photos", photo=True)
_MESSAGE = JourneyStep("POST", "/weddings/{id}/messages", body='{"text": "On our way"}')

STEPS: Mapping[str, Mapping[str, tuple[JourneyStep, ...]]] = {
    "couple": {
        "api": (_OVERVIEW, _GUESTS),
        "real-time": (_UPDATES, _LIVE, _MESSAGE),
        "file-storage": (_PHOTO,),
    },
    "guest": {
        "api": (
            _OVERVIEW,
            JourneyStep("POST", "/weddings/{id}/rsvp", ("getting_ready",), '{"answer": "yes"}'),
            JourneyStep("GET", "/weddings/{id}/seating", ("cocktail_hour", "dinner")),
            JourneyStep(
                "POST", "/weddings/{id}/songs", ("dinner", "party"), '{"title": "At Last"}'
            ),
        ),
        "real-time": (_UPDATES, _LIVE),
        "file-storage": (_PHOTO,),
    },
    "vendor": {
        "api": (
            _TIMELINE,
            JourneyStep(
                "POST", "/weddings/{id}/check-ins", ("getting_ready",), '{"state": "arrived"}'
            ),
        ),
        "real-time": (_UPDATES, _LIVE),
        "file-storage": (_PHOTO,),
    },
    "planner": {
        "api": (
            _TIMELINE,
            _GUESTS,
            JourneyStep("POST", "/weddings/{id}/timeline", body='{"shift_min": 5}'),
        ),
        "real-time": (_UPDATES, _LIVE, _MESSAGE),
        "file-storage": (_PHOTO,),
    },
}
"""Role -> service -> the requests that a person of that role makes there."""


@functools.cache
def steps(role: str, service: str, phase: str) -> tuple[JourneyStep, ...]:
    """What a `role` may ask of `service` in `phase`; a service of a user's own has one page."""
    page = JourneyStep("GET", f"/weddings/{{id}}/{service}")
    offered = STEPS.get(role, {}).get(service) or (page,)
    return tuple(step for step in offered if not step.phases or phase in step.phases)


BOUNDARY = "wedsync-4f1d8c0a"


def form(photo_bytes: int) -> tuple[bytes, str]:
    """A multipart form with a caption and a photo of so many bytes, and its content type.

    The photo is a JPEG whose size comes from comment segments: what a server does with the picture
    itself is not our concern, that it has to take in all the bytes is.
    """
    head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    tail = b"\xff\xd9"
    left = max(photo_bytes - len(head) - len(tail), 0)
    comments = bytearray()
    while left > 4:
        size = min(left, 65_537)
        comments += b"\xff\xfe" + (size - 2).to_bytes(2, "big") + b"\x55" * (size - 4)
        left -= size
    parts = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="caption"\r\n\r\nFirst dance\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="dance.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n",
    )
    body = "".join(parts).encode() + head + bytes(comments) + tail
    return body + f"\r\n--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"

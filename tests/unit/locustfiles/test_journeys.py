from __future__ import annotations

import email

import pytest

from engine.config.composition import composed
from locustfiles.journeys import STEPS, form, steps
from scenarios.weddings.config import ROLES


@pytest.fixture(scope="module")
def phases() -> list[str]:
    return [phase["name"] for phase in composed([])["population"]["phases"]] + ["planning"]


def test_every_role_has_a_step_for_every_service_and_phase(phases: list[str]) -> None:
    assert set(STEPS) == set(ROLES)
    services = composed([])["demand"]["rates"]
    for role in ROLES:
        assert set(STEPS[role]) == set(services)
        for service in services:
            for phase in phases:
                assert steps(role, service, phase)


def test_steps_name_only_phases_that_exist(phases: list[str]) -> None:
    named = {
        phase
        for services in STEPS.values()
        for of_service in services.values()
        for step in of_service
        for phase in step.phases
    }
    assert named <= set(phases)


def test_rsvps_are_answered_while_everybody_gets_ready_only() -> None:
    def answers(phase: str) -> bool:
        return any(step.path.endswith("/rsvp") for step in steps("guest", "api", phase))

    assert answers("getting_ready")
    assert not answers("party")


def test_a_service_of_the_users_own_has_a_page() -> None:
    (step,) = steps("guest", "search", "party")
    assert (step.method, step.path) == ("GET", "/weddings/{id}/search")


@pytest.mark.parametrize("size", [25, 1024, 70_000, 200_000])
def test_a_photo_is_a_multipart_form_with_a_jpeg_of_that_size(size: int) -> None:
    body, kind = form(size)
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    caption, photo = message.get_payload()
    assert caption.get_payload().strip() == "First dance"
    assert photo.get_content_type() == "image/jpeg"
    picture = photo.get_payload(decode=True)
    assert picture.startswith(b"\xff\xd8\xff\xe0")
    assert picture.endswith(b"\xff\xd9")
    assert size - 4 <= len(picture) <= size

"""What a configuration may say of the live shell."""

from __future__ import annotations

import pytest

from engine.runtime.settings import LiveSettings


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("state", "s"),
        ("duration_s", 1e-3),
        ("duration_s", 0.5),
        ("duration_s", 1e9),
        ("duration_s", None),
        ("observe_timeout_s", 1e-3),
        ("observe_timeout_s", 600.0),
        ("apply_timeout_s", 1e-3),
        ("apply_timeout_s", 600.0),
        ("wait_for_lead", True),
    ],
)
def test_what_is_within_its_limits_is_taken(key: str, allowed: object) -> None:
    assert getattr(LiveSettings.model_validate({key: allowed}), key) == allowed


@pytest.mark.parametrize(
    ("key", "refused"),
    [
        ("state", ""),
        ("duration_s", 0.0),
        ("duration_s", 1e9 + 0.5),
        ("observe_timeout_s", 0.0),
        ("observe_timeout_s", 600.5),
        ("apply_timeout_s", 0.0),
        ("apply_timeout_s", 600.5),
    ],
)
def test_what_is_beyond_its_limits_is_refused(key: str, refused: object) -> None:
    with pytest.raises(ValueError, match=key):
        LiveSettings.model_validate({key: refused})


def test_by_itself_it_runs_without_end_and_gives_up_where_another_engine_leads() -> None:
    settings = LiveSettings()
    assert (settings.state, settings.duration_s) == ("state/engine", None)
    assert settings.wait_for_lead is False
    assert (settings.observe_timeout_s, settings.apply_timeout_s) == (4.0, 10.0)

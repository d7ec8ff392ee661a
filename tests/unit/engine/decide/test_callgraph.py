"""The call graph: who waits for whom, and how load passes along it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide.callgraph import call_order, critical_services, load_of_services, with_calls
from engine.model import Call, ServiceSpec
from tests.unit.engine.conftest import make_spec

# api asks the database twice, the mailer writes to it once; the api's letters wait in a queue
PLATFORM = (
    make_spec("database"),
    make_spec("mailer", calls=(Call("database", 1.0),)),
    make_spec(
        "api",
        user_facing=True,
        calls=(Call("database", 2.0), Call("mailer", 0.5, asynchronous=True)),
    ),
)


def test_load_arrives_with_all_calls_made_on_the_way() -> None:
    arriving = with_calls(PLATFORM, np.array([5.0, 10.0, 100.0]))
    # mailer: 10 + 0.5 x 100; database: 5 + 2 x 100 + 1 x 60
    np.testing.assert_allclose(arriving, [265.0, 60.0, 100.0])


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 1, 5)])
def test_it_is_linear_and_takes_any_number_of_times(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    entering = rng.uniform(0.0, 50.0, (3, *shape))
    before = entering.copy()
    arriving = with_calls(PLATFORM, entering)
    unit = with_calls(PLATFORM, np.eye(3))
    np.testing.assert_allclose(arriving, np.tensordot(unit, entering, axes=1))
    np.testing.assert_array_equal(entering, before)  # what is passed in is left alone


def test_services_at_which_nobody_enters_get_their_callers_load() -> None:
    load = load_of_services(PLATFORM, ("api",), np.array([[10.0, 20.0]]))
    np.testing.assert_allclose(load, [[25.0, 50.0], [5.0, 10.0], [10.0, 20.0]])
    with pytest.raises(KeyError):
        load_of_services(PLATFORM, ("nosuch",), np.ones((1, 2)))


@st.composite
def platforms(draw: st.DrawFn) -> tuple[ServiceSpec, ...]:
    """Up to eight services, each calling any of those that come after it, in any order."""
    count = draw(st.integers(1, 8))
    specs = []
    for i in range(count):
        callees = [j for j in range(i + 1, count) if draw(st.booleans())]
        calls = [
            Call(f"s{j}", draw(st.floats(0.0, 4.0)), asynchronous=draw(st.booleans()))
            for j in callees
        ]
        specs.append(make_spec(f"s{i}", calls=tuple(calls), user_facing=draw(st.booleans())))
    return tuple(draw(st.permutations(specs)))


@given(platforms())
def test_what_arrives_is_what_enters_and_what_all_callers_send(
    specs: tuple[ServiceSpec, ...],
) -> None:
    entering = np.arange(1.0, len(specs) + 1.0)
    arriving = with_calls(specs, entering)
    for i, spec in enumerate(specs):
        sent = sum(
            call.per_request * arriving[j]
            for j, caller in enumerate(specs)
            for call in caller.calls
            if call.service == spec.name
        )
        assert arriving[i] == pytest.approx(entering[i] + sent)


@given(platforms())
def test_callers_come_before_the_services_that_they_call(specs: tuple[ServiceSpec, ...]) -> None:
    order = call_order(specs)
    assert sorted(order) == list(range(len(specs)))
    place = {specs[i].name: at for at, i in enumerate(order)}
    for spec in specs:
        assert all(place[spec.name] < place[call.service] for call in spec.calls)


def test_users_wait_for_what_is_called_in_time_alone() -> None:
    assert critical_services(PLATFORM) == {"api", "database"}


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ({"a": ["b"], "b": ["a"]}, "the calls between a, b form a cycle"),
        ({"a": ["a"]}, "the calls between a form a cycle"),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "the calls between b, c form a cycle"),
        ({"a": ["nosuch"]}, "a calls nosuch, which is not a service"),
    ],
)
def test_calls_that_cannot_be_followed_are_refused(calls: dict[str, list[str]], said: str) -> None:
    specs = [
        make_spec(name, calls=tuple(Call(to, 1.0) for to in tos)) for name, tos in calls.items()
    ]
    with pytest.raises(ValueError, match=said):
        with_calls(specs, np.ones(len(specs)))

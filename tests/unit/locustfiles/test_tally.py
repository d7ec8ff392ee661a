from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locustfiles.tally import Tally, note, quantiles, share_above, unpacked

times = st.lists(st.floats(1e-3, 500.0), min_size=1, max_size=200)


@given(times=times, share=st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_known_to_one_per_cent(times: list[float], share: float) -> None:
    counts: Counter[int] = Counter()
    for time_s in times:
        note(counts, time_s)
    exact = float(np.quantile(times, share, method="inverted_cdf"))
    assert quantiles(counts, (share,)) == [pytest.approx(exact, rel=0.0101)]


def test_without_any_request_there_is_no_quantile() -> None:
    assert quantiles({}, (0.5, 1.0)) == [None, None]


@pytest.mark.parametrize(("time_s", "bucket"), [(-1.0, 0), (0.0, 0), (1e-4, 0), (1.009e-4, 1)])
def test_the_smallest_times_share_a_bucket(time_s: float, bucket: int) -> None:
    counts: Counter[int] = Counter()
    note(counts, time_s)
    assert list(counts) == [bucket]


def test_the_share_above_a_time() -> None:
    counts: Counter[int] = Counter()
    for time_s in (0.01, 0.02, 0.06, 0.2):
        note(counts, time_s)
    assert share_above(counts, 0.05) == 0.5
    assert share_above({}, 0.05) == 0.0


@given(
    counted=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.floats(1e-3, 9.0)), max_size=50
    ),
    cut=st.integers(0, 50),
)
def test_tallies_add_up_in_any_parts_and_over_the_wire(
    counted: list[tuple[int, int, float]], cut: int
) -> None:
    def tally(part: list[tuple[int, int, float]]) -> Tally:
        tally = Tally()
        for second, service, time_s in part:
            cell = tally.cell(second, service)
            cell.counts["sent"] += 1
            note(cell.felt, time_s)
            tally.roles["guest"] = tally.roles.get("guest", 0) + 1
            note(tally.pulse, time_s)
        return tally

    whole, parts = tally(counted), Tally()
    parts.add(unpacked(tally(counted[:cut]).packed()))
    parts.add(unpacked(tally(counted[cut:]).packed()))
    assert parts == whole
    assert whole.of(range(3)).counts["sent"] == len(counted)


def test_exceptions_are_counted_by_kind_and_bounded_in_number() -> None:
    tally = Tally()
    for _ in range(3):
        tally.note_exception("somebody", KeyError("couple"))
    assert tally.exceptions == {"str: KeyError: 'couple'": 3}
    for k in range(1000):
        tally.note_exception("somebody", ValueError(f"order {k}"))
    assert len(tally.exceptions) == 101
    assert sum(unpacked(tally.packed()).exceptions.values()) == 1003

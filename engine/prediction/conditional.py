"""What differs in the hours of events: how wrong forecasts are there, which way, and how new it is.

Errors in event hours are several times those of quiet ones, and there are few of them.  So what is
learned of them, a shift of the median, the size of errors and their quantiles, is learned apart and
leans to what all hours together say, the more so the fewer there are (shrinkage).  Errors of a kind
of event count less once the next kind has begun, in the order in which kinds come (group, round of
sixteen, … , final), and what no event before was like, a kind, a size or a number at once, widens
the forecast by as much as such things did before.

All of it is known by the time of asking: the calendar beforehand, errors once the value has come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import Calendar, FloatArray
from engine.prediction.event_hours import BoolArray, event_hours, hours_of, saturdays

IntArray = NDArray[np.int64]

SHIFT_MEMORY_H = 168.0
"""Half-life of an error's part in the shift of the median."""
SHIFT_REACH = 0.2
"""No error (logarithmic) counts as larger in the shift: it is of the median, not of the mean."""
SHIFT_LEAN = 24.0
"""So many hours without any error the shift leans to, and two more for each step of the lead."""
EARLIER_KIND = 0.5
"""What an error counts once the next kind of event has begun."""
SIZE_MEMORY = 48.0
"""Half-life of the size of a group's errors, in hours of that group."""
SIZE_LEAN = 6.0
"""So many hours of the group does the size of errors in all hours count."""
NEW_FACTOR, NEW_LEAN = 1.5, 12.0
"""By what the errors of something new are larger, as assumed (1.2 … 2), and its hours of weight."""
USED_TO_H = 3.0
"""After so many hours of something it is half as new."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Of each step (steps,): whether it is in event hours, of which kind, and in what it is new.

    `kind` is the place of the kind in the order of their first events, -1 where there is none.
    `trait` numbers what an event may be new in: steps of one number are alike.
    """

    inside: BoolArray
    kind: IntArray
    trait: IntArray

    def newness(self, lead: int) -> FloatArray:
        """How new each step is (steps,), 0-1: of what was over `lead` steps before."""
        seen: dict[int, int] = {}
        new = np.zeros(len(self.inside))
        for step in range(len(new)):
            over = step - lead
            if over >= 0 and self.inside[over]:
                seen[int(self.trait[over])] = seen.get(int(self.trait[over]), 0) + 1
            if self.inside[step]:
                new[step] = 1.0 / (1.0 + seen.get(int(self.trait[step]), 0) / USED_TO_H)
        return new


def of_calendar(calendar: Calendar, times_s: FloatArray, step_s: float) -> Conditions:
    """The conditions of steps that begin at `times_s`, as `calendar` says beforehand.

    Alike are steps of the same kind with as many events at once and a size within a factor of two.
    """
    inside = event_hours(calendar, times_s, step_s)
    order = {kind: n for n, kind in enumerate(dict.fromkeys(calendar.kinds))}
    kind = np.full(len(times_s), -1)
    many, size = np.zeros(len(times_s)), np.zeros(len(times_s))
    for n, steps in enumerate(hours_of(calendar, times_s, step_s)):
        kind[steps] = np.maximum(kind[steps], order[calendar.kinds[n]])
        many[steps] += 1.0
        size[steps] += calendar.size[n]
    marks = np.column_stack(
        (kind, _rank(many), np.where(inside, np.round(np.log2(np.maximum(size, 1e-9))), 0.0))
    )
    trait = np.unique(marks, axis=0, return_inverse=True)[1].reshape(-1)
    return Conditions(inside, kind, trait.astype(np.int64))


def of_booked(booked: FloatArray, times_s: FloatArray) -> Conditions:
    """The conditions of hours of booked load: Saturdays, by how much is booked on each."""
    inside = saturdays(times_s)
    trait = np.where(inside, np.round(2.0 * np.log2(np.maximum(booked, 1e-9))), 0.0)
    trait = trait.astype(np.int64)
    return Conditions(inside, np.where(inside, 0, -1), trait)


def shifts(errors: FloatArray, lead: int, conditions: Conditions) -> FloatArray:
    """What to add to each forecast (steps,) in event hours, on the scale of `errors` (steps,).

    Row j uses the errors of the steps up to j - lead; zero outside event hours.
    """
    shift = np.zeros(len(errors))
    fading = 0.5 ** (1.0 / SHIFT_MEMORY_H)
    lean = SHIFT_LEAN + 2.0 * lead
    total = weight = 0.0
    latest = -1
    for step in range(len(errors)):
        over = step - lead
        if over >= 0:
            total, weight = fading * total, fading * weight
            if conditions.inside[over] and np.isfinite(errors[over]):
                kind = int(conditions.kind[over])
                if kind > latest >= 0:
                    total, weight = EARLIER_KIND * total, EARLIER_KIND * weight
                latest = max(latest, kind)
                total += min(max(float(errors[over]), -SHIFT_REACH), SHIFT_REACH)
                weight += 1.0
        if conditions.inside[step]:
            shift[step] = total / (weight + lean)
    return shift


def sizes(errors: FloatArray, usual: FloatArray, lead: int, conditions: Conditions) -> FloatArray:
    """How large the error of each step is expected to be (steps,); `usual` by all hours alike.

    Those of each group lean to the usual size; what is new is wider by what that was worth before.
    """
    steps = len(errors)
    new = conditions.newness(lead)
    expected = usual.copy()
    fading = 0.5 ** (1.0 / SIZE_MEMORY)
    came, supposed = np.zeros(2), np.zeros(2)
    more, much = NEW_LEAN * NEW_FACTOR, NEW_LEAN

    def factor(step: int, group: int) -> float:
        lean = SIZE_LEAN * float(usual[step])
        return (float(came[group]) + lean) / (float(supposed[group]) + lean)

    for step in range(steps):
        over = step - lead
        if over >= 0 and np.isfinite(errors[over]):
            group = int(conditions.inside[over])
            came[group] *= fading
            supposed[group] *= fading
            wider = 1.0 + (max(more / much, 1.0) - 1.0) * new[over]
            if new[over] > 0.0:
                large = abs(float(errors[over])) / (float(usual[over]) * factor(over, group))
                more += new[over] * min(large, 4.0)
                much += new[over]
            came[group] += abs(float(errors[over])) / wider
            supposed[group] += usual[over]
        group = int(conditions.inside[step])
        wider = 1.0 + (max(more / much, 1.0) - 1.0) * new[step]
        expected[step] *= wider * factor(step, group)
    return expected


def _rank(values: FloatArray) -> FloatArray:
    """Numbers of events at once, told apart up to three and by doubling from there on."""
    return np.where(values <= 3.0, values, 2.0 + np.ceil(np.log2(np.maximum(values, 1.0) / 2.0)))

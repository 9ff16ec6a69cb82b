"""A camera's troubles: each has a start and an end, and the next one is another."""

import pytest

from pipeline.core.errors import SourceFailure
from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import Health, failed_with
from pipeline.processing.health import ENDED_BY, HealthEvents

AT = 1_700_000_000.0


def told(troubles: HealthEvents, *states: str) -> list[tuple[str, str]]:
    """Type and phase of what follows from states, ten seconds apart."""
    events: list[Event] = []
    for nth, state in enumerate(states):
        events += troubles.judge(Health("door", AT + 10 * nth, state, "why"))
    return [(event.type, event.phase) for event in events]


@pytest.mark.parametrize(
    ("states", "events"),
    [
        (["online"], []),  # nothing was wrong
        (["offline"], ["offline start"]),
        (["offline", "offline", "offline"], ["offline start"]),  # still the same trouble
        (["offline", "online"], ["offline start", "offline end"]),
        (["offline", "online", "online"], ["offline start", "offline end"]),
        (
            ["offline", "online", "offline", "online"],
            ["offline start", "offline end", "offline start", "offline end"],
        ),
        (["frozen", "moving"], ["frozen start", "frozen end"]),
        (["black", "visible"], ["black start", "black end"]),
        (["clock", "clock_right"], ["clock start", "clock end"]),
        (["clock", "online"], ["clock start"]),  # pictures that come say nothing about their times
        (["black", "moving"], ["black start"]),  # another trouble's end
        (
            ["frozen", "offline", "online", "moving"],
            ["frozen start", "offline start", "offline end", "frozen end"],
        ),
        (["decoding in software"], []),  # a state that is no trouble
    ],
)
def test_states_become_happenings(states: list[str], events: list[str]) -> None:
    """Repeated states say nothing; troubles may overlap."""
    wanted = [(f"camera_{name}", phase) for name, phase in (event.split() for event in events)]
    assert told(HealthEvents(), *states) == wanted


def test_an_end_belongs_to_its_start() -> None:
    """One id, how long it lasted, and why; the next trouble has another id."""
    troubles = HealthEvents()
    (start,) = troubles.judge(Health("door", AT, "offline", "refused"))
    (end,) = troubles.judge(Health("door", AT + 7.5, "online"))
    (again,) = troubles.judge(Health("door", AT + 60, "offline", "timeout"))
    assert (start.id, start.at, start.camera, start.rule) == (end.id, AT, "door", "camera")
    assert start.data == {"state": "offline", "reason": "refused"}
    assert end.data == {"state": "offline", "seconds": 7.5}
    assert again.id != start.id


def test_a_failed_source_gives_its_reason_and_its_sentence() -> None:
    """Two fields: a word for programs, a sentence for people."""
    detail = failed_with(SourceFailure.UNSUPPORTED, "rtsp://cam/a: redirects; use that address")
    (start,) = HealthEvents().judge(Health("door", AT, "offline", detail))
    assert start.data == {
        "state": "offline",
        "reason": "unsupported",
        "message": "rtsp://cam/a: redirects; use that address",
    }


@pytest.mark.parametrize("trouble", sorted(ENDED_BY))
def test_a_trouble_outlives_a_restart(trouble: str) -> None:
    """Its end after the restart has the id and the length of the whole."""
    before, after = HealthEvents(), HealthEvents()
    (start,) = before.judge(Health("door", AT, trouble))
    after.restore(before.state())
    assert after.judge(Health("door", AT + 5, trouble)) == ()
    (end,) = after.judge(Health("door", AT + 20, ENDED_BY[trouble]))
    assert (end.id, end.data["seconds"]) == (start.id, 20)


def test_the_rate_of_a_wrong_clock_is_in_its_event() -> None:
    """As a number, beside the sentence."""
    health = Health("door", AT, "clock", "its clock runs at 0.84 times real time", 0.84)
    (start,) = HealthEvents().judge(health)
    assert start.data == {"state": "clock", "reason": health.detail, "rate": 0.84}


@pytest.mark.parametrize("state", [None, [], "x", {"offline": "x"}, {"sleepy": 1.0}])
def test_what_is_no_state_is_forgotten(state: JsonValue) -> None:
    """Nothing is known to last then."""
    troubles = HealthEvents()
    troubles.restore(state)
    assert troubles.state() == {}

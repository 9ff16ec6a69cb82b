"""What each call does to the state of a Redis queue, said once more and in the plainest way."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pipeline.core.membership import partition_of
from tests.connectors.queues.redis.state import Entry, Key, Lane, State

PARTITIONS = 2
LIVE_ROOM = 2
FILE_ROOM = 4
RESULTS_ROOM = 6
MAX_ATTEMPTS = 2
DEAD_LETTERS = 2


@dataclass(frozen=True)
class Held:
    """A job in a worker's hands, also when it was long answered."""

    lane: Lane
    entry: str
    key: Key


def put(before: State, key: Key, *, live: bool) -> tuple[State, bool, list[int]]:
    """The state afterwards, whether it was accepted, and the ordinals that were let go."""
    lane, number = key[:2], partition_of(key[1], PARTITIONS)
    if key in before.flight:
        return before, True, []
    if not live and len(before.waiting(lane)) >= FILE_ROOM:
        return before, False, []
    after = replace(before, flight=before.flight | {key})
    after = after.with_lane(lane, (*before.lane(lane), Entry("", key)))
    dropped: list[int] = []
    while live and len(after.waiting(lane)) > LIVE_ROOM:
        oldest = after.waiting(lane)[0]
        after = without_job(after, lane, oldest.id)
        after = replace(after, drops=after.drops + 1)
        dropped.append(oldest.key[2])
        if after.untaken(number) < RESULTS_ROOM:
            after = after.plus(number, oldest.key, failed=True)
        else:
            after = replace(after, flight=after.flight - {oldest.key})
    return after, True, dropped


def answer(before: State, held: Sequence[Held]) -> tuple[State, bool]:
    """The state afterwards, and whether there was room."""
    numbers = Counter(partition_of(one.key[1], PARTITIONS) for one in held)
    for number, count in numbers.items():
        waiting = before.untaken(number)
        if waiting and waiting + count > RESULTS_ROOM:
            return before, False
    after = before
    for one in held:
        found = without_job(after, one.lane, one.entry)
        # What neither waits nor is on its way was forgotten by Redis, or acknowledged meanwhile.
        if found != after or one.key not in after.flight:
            after = found.plus(partition_of(one.key[1], PARTITIONS), one.key)
    return after, True


def check_claimed(
    before: State, after: State, engine: str, limit: int, *, ended: set[tuple[Lane, str]]
) -> int:
    """Who was claimed: in order, and nobody passed over; how many, and `ended` without them."""
    claimed, given_up, left = 0, [], 0
    for lane in before.lanes:
        if lane[0] != engine:
            assert before.lane(lane) == after.lane(lane)
            continue
        now = {one.id: one for one in after.lane(lane)}
        first = []
        for one in before.lane(lane):
            is_ended = (lane, one.id) in ended
            if one.id not in now:
                assert is_ended, one
                assert one.deliveries >= MAX_ATTEMPTS, one
                given_up.append(one.key)
            elif now[one.id].deliveries != one.deliveries:
                assert now[one.id].deliveries == one.deliveries + 1, one
                assert not one.deliveries or (is_ended and one.deliveries < MAX_ATTEMPTS), one
                claimed += 1
            else:
                left += is_ended or not one.deliveries
            if not one.deliveries:
                first.append(bool(now[one.id].deliveries))
            elif one.id not in now or now[one.id].deliveries != one.deliveries:
                ended.discard((lane, one.id))
        assert first == sorted(first, reverse=True), f"{lane} out of order: {first}"
    assert claimed == limit or (claimed < limit and not left), (claimed, limit, left)
    _check_given_up(before, after, given_up)
    return claimed


def _check_given_up(before: State, after: State, keys: list[Key]) -> None:
    for number in range(PARTITIONS):
        had = before.partition(number)
        assert after.partition(number)[: len(had)] == had
        more = [(one.key, one.failed) for one in after.partition(number)[len(had) :]]
        own = [(key, True) for key in keys if partition_of(key[1], PARTITIONS) == number]
        assert sorted(more) == sorted(own)
    letters = [one.key for one in after.dead]
    assert len(letters) == min(DEAD_LETTERS, len(before.dead) + len(keys))
    assert not Counter(letters) - Counter([*keys, *(one.key for one in before.dead)])
    assert (after.flight, after.drops) == (before.flight, before.drops)


def forgotten(before: State, ids: Collection[tuple[int, str]]) -> State:
    """The state once these results, by partition and id, are acknowledged."""
    after = before
    for number, id_ in ids:
        entries = after.partition(number)
        gone = {one.key for one in entries if one.id == id_}
        rest = tuple(one for one in entries if one.id != id_)
        after = replace(after.with_results(number, rest), flight=after.flight - gone)
    return after


def without_letter(before: State, letter: Entry, *, retried: bool) -> State:
    """The state once a dead letter is forgotten, or back in its lane."""
    after = replace(before, dead=tuple(one for one in before.dead if one != letter))
    lane = letter.key[:2]
    return after.with_lane(lane, (*after.lane(lane), Entry("", letter.key))) if retried else after


def without_job(state: State, lane: Lane, id_: str) -> State:
    """The state without a job."""
    entries = state.lane(lane)
    rest = tuple(one for one in entries if one.id != id_)
    return state if rest == entries else state.with_lane(lane, rest)

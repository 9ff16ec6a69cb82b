"""Results of one camera come out in order, whatever order they came in."""

import random

import pytest

from pipeline.core.answers import Failed, Number
from pipeline.core.jobs import Result
from pipeline.core.queues import Delivered
from pipeline.processing.ordering import InOrder, Sorted

PATIENCE_S = 2.0


def arrived(
    ordinal: int,
    run: str = "a",
    *,
    live: bool = False,
    last: bool = False,
    dropped: bool = False,
) -> Delivered:
    """A result on its way: answered, or of a dropped frame."""
    return Delivered(
        id=f"{run}-{ordinal}",
        result=Result(
            camera="door",
            run=run,
            engine="fast",
            ordinal=ordinal,
            seq=ordinal,
            captured_at=float(ordinal),
            size_wh=(64, 48),
            live=live,
            last=last,
            answers={"people": Failed("fast", "queue full") if dropped else Number("fast", 1)},
        ),
    )


def ordinals(sorted_: Sorted) -> list[int]:
    """What came free."""
    return [delivered.result.ordinal for delivered in sorted_.ready]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_comes_out_sorted(seed: int) -> None:
    """Whatever the order of arrival, each result is judged once and in order."""
    shuffled = list(range(50))
    random.Random(seed).shuffle(shuffled)
    order = InOrder(PATIENCE_S)
    ready = [n for ordinal in shuffled for n in ordinals(order.offer(arrived(ordinal), now=0.0))]
    assert ready == list(range(50))


def test_a_result_judged_before_is_a_duplicate() -> None:
    """A result that comes again after it was judged is not judged again."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0), now=0.0)
    again = order.offer(arrived(0), now=0.0)
    assert again.ready == ()
    assert [d.result.ordinal for d in again.duplicates] == [0]


def test_a_result_that_waits_and_comes_again_is_judged_once() -> None:
    """Of two copies that wait for their turn, the older one is let go."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(1), now=0.0)
    assert len(order.offer(arrived(1), now=0.0).duplicates) == 1
    assert ordinals(order.offer(arrived(0), now=0.0)) == [0, 1]


def test_a_file_waits_for_ever_for_what_is_missing() -> None:
    """A file's frame is never passed over."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(1), now=0.0)
    assert order.pass_over(now=1e6) == Sorted()
    assert ordinals(order.offer(arrived(0), now=1e6)) == [0, 1]


def test_a_live_camera_waits_as_long_as_patience() -> None:
    """A live camera's missing results are passed over together, and counted."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0, live=True), now=0.0)
    order.offer(arrived(3, live=True), now=1.0)
    assert order.pass_over(now=2.9) == Sorted()
    passed = order.pass_over(now=3.0)
    assert passed.missing == 2
    assert ordinals(passed) == [3]


def test_what_comes_after_being_passed_over_is_late() -> None:
    """A straggler is recognised, not judged out of order."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(1, live=True), now=0.0)
    order.pass_over(now=5.0)
    assert order.offer(arrived(0, live=True), now=5.0).ready == ()


def test_a_new_run_follows_the_end_of_the_old_one() -> None:
    """A run that ended makes way at once for the next."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0, "a"), now=0.0)
    assert ordinals(order.offer(arrived(0, "b"), now=0.0)) == []
    assert ordinals(order.offer(arrived(1, "a", last=True), now=0.0)) == [1, 0]
    assert ordinals(order.offer(arrived(1, "b"), now=0.0)) == [1]
    assert len(order.offer(arrived(0, "a"), now=0.0).late) == 1


def test_a_live_run_that_breaks_off_makes_way_after_patience() -> None:
    """A sampler that died left no end mark: its successor waits no longer than patience."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0, "a", live=True), now=0.0)
    order.offer(arrived(0, "b", live=True), now=1.0)
    assert order.pass_over(now=2.0).ready == ()
    assert ordinals(order.pass_over(now=3.0)) == [0]
    assert ordinals(order.offer(arrived(1, "b", live=True), now=3.0)) == [1]


def test_an_older_run_that_goes_on_holds_up_nothing() -> None:
    """Whoever still sends for the old run delays the new one by no more than patience."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0, "a", live=True), now=0.0)
    order.offer(arrived(0, "b", live=True), now=0.5)
    judged: list[tuple[str, int]] = []
    held = []
    for nth in range(1, 40):
        now = nth * 0.5
        freed: list[Delivered] = []
        for run in "ab":
            freed += order.offer(arrived(nth, run, live=True), now).ready
            freed += order.pass_over(now).ready
        judged += [(one.result.run, one.result.ordinal) for one in freed]
        held.append(nth - sum(run == "b" for run, _ in judged))
    assert max(held) <= PATIENCE_S / 0.5 + 2
    assert [ordinal for run, ordinal in judged if run == "b"] == list(range(40))
    assert [run for run, _ in judged] == sorted(run for run, _ in judged)


def test_what_came_of_an_older_run_is_judged_before_it_makes_way() -> None:
    """In order, and what is missing of it is counted."""
    order = InOrder(PATIENCE_S)
    for ordinal in (0, 3, 5):
        order.offer(arrived(ordinal, "a", live=True), now=0.0)
    order.offer(arrived(0, "b", live=True), now=0.0)
    passed = order.pass_over(now=PATIENCE_S)
    assert [(one.result.run, one.result.ordinal) for one in passed.ready] == [
        ("a", 3),
        ("a", 5),
        ("b", 0),
    ]
    assert passed.missing == 3
    assert len(order.offer(arrived(1, "a", live=True), now=3.0).late) == 1


def test_patience_with_an_older_run_is_short_however_slow_the_engine() -> None:
    """A task that is asked every ten minutes does not hold up the next sampler for twenty."""
    order = InOrder(PATIENCE_S)
    for ordinal in range(3):
        order.offer(arrived(ordinal, "a", live=True), now=ordinal * 600.0)
    order.offer(arrived(4, "a", live=True), now=1800.0)
    order.offer(arrived(0, "b", live=True), now=1800.0)
    assert order.pass_over(now=1801.9) == Sorted()
    assert len(order.pass_over(now=1802.0).ready) == 2


def test_dropped_frames_of_a_new_run_wait_longer_for_the_old_one() -> None:
    """A slow engine may have the old run's last frame in hand; that it ends is certain too."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(0, "a", live=True), now=0.0)
    order.offer(arrived(2, "a", live=True, dropped=True), now=0.0)
    order.offer(arrived(0, "b", live=True, dropped=True), now=0.0)
    assert order.pass_over(now=59.9) == Sorted()
    assert [one.result.run for one in order.pass_over(now=60.0).ready] == ["a", "b"]


@pytest.mark.parametrize("restarted", [True, False])
def test_a_recording_that_has_grown_goes_on_where_it_ended(restarted: bool) -> None:
    """The first new job has the number that the end had; the end itself is known again."""
    order = InOrder(PATIENCE_S)
    if restarted:
        order.resume("a", 2, ended=True)
    else:
        for ordinal in range(3):
            order.offer(arrived(ordinal, last=ordinal == 2), now=0.0)
    assert len(order.offer(arrived(1), now=0.0).duplicates) == 1
    assert len(order.offer(arrived(2, last=True), now=0.0).duplicates) == 1
    assert ordinals(order.offer(arrived(3), now=0.0)) == []
    assert len(order.offer(arrived(2, last=True), now=0.0).duplicates) == 1
    assert ordinals(order.offer(arrived(2), now=0.0)) == [2, 3]
    assert ordinals(order.offer(arrived(4, last=True), now=0.0)) == [4]


def test_going_on_from_a_checkpoint_skips_what_was_judged() -> None:
    """After a restart a file plays again; what was judged before is a duplicate."""
    order = InOrder(PATIENCE_S)
    order.resume("a", 1)
    assert len(order.offer(arrived(0), now=0.0).duplicates) == 1
    assert len(order.offer(arrived(1), now=0.0).duplicates) == 1
    assert ordinals(order.offer(arrived(2), now=0.0)) == [2]


def test_dropped_frames_do_not_overtake_the_one_in_hand() -> None:
    """A slow engine's frame is waited for while newer ones are dropped, and then judged."""
    order = InOrder(PATIENCE_S)
    for ordinal in range(1, 12):
        order.offer(arrived(ordinal, live=True, dropped=True), now=ordinal * 0.25)
        assert order.pass_over(now=ordinal * 0.25) == Sorted()
    assert order.pass_over(now=10.0) == Sorted()
    assert ordinals(order.offer(arrived(0, live=True), now=10.0)) == list(range(12))


def test_patience_fits_the_pace_of_the_engine() -> None:
    """Where answers come every five seconds, one may be ten seconds behind a later one."""
    order = InOrder(PATIENCE_S)
    for ordinal in range(3):
        order.offer(arrived(ordinal, live=True), now=ordinal * 5.0)
    order.offer(arrived(4, live=True), now=15.0)
    assert order.pass_over(now=24.0) == Sorted()
    assert order.pass_over(now=25.0).missing == 1


def test_without_any_answer_patience_ends_too() -> None:
    """A worker that died with a frame does not hold up dropped ones for ever."""
    order = InOrder(PATIENCE_S)
    order.offer(arrived(1, live=True, dropped=True), now=0.0)
    assert order.pass_over(now=59.0) == Sorted()
    assert order.pass_over(now=60.0).missing == 1

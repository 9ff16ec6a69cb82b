"""What trackers showed, held in few bytes: told again as it was, and never more than is allowed."""

from pipeline.core.jobs import Result
from pipeline.core.observations import ObservedFrame
from pipeline.core.tracks import Feet, Step, Track
from pipeline.insight.followed_looks import FollowedParts, PackedLooks, RunUpParts, digest_of
from pipeline.processing.following import ShownTracks
from pipeline.processing.judge import Followed

FEET = Feet((0.1, 0.2), 0.3, (-0.0, 1 / 3), 0.6, 0.7)
LATE = Step(1_700_000_000.125, (0.1, 0.2, 0.3, 0.4), FEET)
BARE = Step(1_700_000_000.0, (0.0, 0.00001, 1.0, 0.99999))
LOOKS: list[Followed] = [
    {},
    {"people": ShownTracks((), (), tracked=False)},
    {"people": ShownTracks((), (), tracked=True), "cars": ShownTracks((), (), tracked=False)},
    {
        "people": ShownTracks((Track(1, "person", 0.9, 1e9, (LATE,)),), (), tracked=True),
        "cars": ShownTracks(
            (),
            (
                Track(2**40, "M\u00fcllwagen", 0.1, 2.5, (BARE, LATE)),
                Track(3, "", 0.0, 0.0, (BARE,)),
            ),
            tracked=True,
        ),
    },
    {"people": ShownTracks((), (), tracked=False)},
]


def packed(looks: list[Followed], room: int, frames: bytes = b"") -> PackedLooks:
    """Looks as they are held."""
    found = PackedLooks(frames, room)
    for look in looks:
        found.add(look)
    return found


def test_what_is_held_is_told_again_as_often_as_it_is_asked_for() -> None:
    """To the last bit, in the same order."""
    held = packed(LOOKS, 10_000)
    for _ in range(2):
        assert repr(list(held.looks())) == repr(LOOKS)
    assert held.fits
    assert not packed(LOOKS, held.size - 1).fits
    many = packed(LOOKS * 1000, held.size)
    assert not many.fits
    assert many.size < 2 * held.size
    strange = packed([{"people": ShownTracks((Track(2**70, "", 0.0, 0.0, ()),), (), True)}], 10_000)
    assert not strange.fits
    assert not FollowedParts(10_000).add("strange", strange)


def test_what_is_used_stays_and_what_is_used_no_more_gives_way() -> None:
    """A day that is larger than the room is not forgotten piece by piece while it is judged."""
    one = packed(LOOKS, 10_000)
    parts = FollowedParts(3 * one.size)
    parts.begin()
    assert [parts.add(name, packed(LOOKS, 10_000)) for name in "abcd"] == [True, True, True, False]
    assert parts.size == 3 * one.size
    for _ in range(3):
        parts.begin()
        assert parts.of("a", b"") is not None
    assert parts.of("a", b"of other pictures") is None
    assert parts.add("d", packed(LOOKS, 10_000))
    assert [name for name in "abcd" if parts.of(name, b"") is not None] in (
        ["a", "b", "d"],
        ["a", "c", "d"],
    )
    assert parts.size == 3 * one.size
    again = parts.add("d", packed(LOOKS[:3], 10_000))
    assert again
    assert parts.size == 2 * one.size + packed(LOOKS[:3], 10_000).size
    assert not parts.add("e", packed(LOOKS * 4, 100_000))


def test_a_run_up_is_held_until_it_is_judged() -> None:
    """Once, and the newest ones alone."""
    one = packed(LOOKS, 10_000)
    parts = RunUpParts(2 * one.size)
    for name in "abc":
        parts.add(name, packed(LOOKS, 10_000))
    parts.add("too large", packed(LOOKS * 4, 100_000))
    assert [parts.of(name, b"", is_last=False) is None for name in "abc"] == [True, False, False]
    assert parts.of("b", b"", is_last=True) is not None
    assert parts.of("b", b"", is_last=True) is None


def test_pictures_are_known_by_what_they_were_read_from_and_by_their_numbers() -> None:
    """What was added or deleted, or played again with the same numbers, is something else."""

    def frames(*numbers: int, run: str = "r") -> list[ObservedFrame]:
        return [
            ObservedFrame(Result("door", run, "fast", n, n, 1.0 * n, (4, 3), True, {}), {})
            for n in numbers
        ]

    digests = {
        digest_of(b"x", frames(1, 2, 3)),
        digest_of(b"y", frames(1, 2, 3)),
        digest_of(b"x", frames(1, 2)),
        digest_of(b"x", frames(1, 3, 2)),
        digest_of(b"x", frames(1, 2, 3, run="s")),
        digest_of(b"x", frames(1) + frames(2, 3, run="s")),
        digest_of(b"x", []),
    }
    assert len(digests) == 7
    assert digest_of(b"x", frames(1, 2, 3)) in digests

"""Every key in Redis, what it means, and what keeps it from staying or growing for ever.

All keys begin with `{prefix}:`. The braces put a deployment into one slot of a cluster, so that a
script can move a job, its picture and its result in one step; a cluster then gives failover, and
room for many deployments, but does not spread one of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote, unquote

from pipeline.core.frames import Frame
from pipeline.core.jobs import Job
from pipeline.core.membership import Leased


class Life(StrEnum):
    """What ends a key."""

    EXPIRES = "it expires"
    EMPTY = "it expires once it is empty; until then it is bounded"
    REFERRED = "it expires, or stays while a file's job or a dead letter refers to it"
    BOUNDED = "it stays, and is bounded"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of key: its name after the base, its Redis type, meaning, life and bound."""

    name: str
    type: str
    meaning: str
    life: Life
    bound: str


KINDS = (
    Kind(
        "lane",
        "stream",
        "`engine:live|file|ahead:camera`: jobs waiting for an engine or in a worker's hands "
        "(group `workers`)",
        Life.EMPTY,
        "live_room, file_room or AHEAD_ROOM entries, and what workers hold; a live one expires in "
        "any case",
    ),
    Kind(
        "ring",
        "zset",
        "`engine`: the lanes that have jobs waiting, by when their turn was last; below 0 those "
        "that go ahead",
        Life.BOUNDED,
        "a member for each camera; goes when nothing waits",
    ),
    Kind(
        "due",
        "zset",
        "`engine`: when the first lease of a lane may end, in ms of Redis' clock",
        Life.BOUNDED,
        "a member for each camera",
    ),
    Kind(
        "owing",
        "string",
        "`engine`: it was given a job that goes ahead, and no frame since",
        Life.EXPIRES,
        "one for each engine",
    ),
    Kind("engines", "set", "engines that ever had jobs", Life.BOUNDED, "a member for each engine"),
    Kind(
        "picture",
        "string",
        "`camera:run:seq`: a frame's picture",
        Life.REFERRED,
        "as many as there are jobs and dead letters, and for a minute those of jobs not taken",
    ),
    Kind(
        "refs",
        "hash",
        "`camera:run`: for each seq how many jobs refer to its picture; `k` and seq, ms it stays "
        "after them",
        Life.REFERRED,
        "two fields for each picture; goes with the last one",
    ),
    Kind(
        "flight",
        "set",
        "`engine:camera:run`: ordinals that were put and whose result is not yet acknowledged; "
        "putting them again changes nothing",
        Life.EXPIRES,
        "as many members as there are jobs and results",
    ),
    Kind(
        "results",
        "stream",
        "`partition`: r results; or j jobs with w why they failed, and l lane, x picture, m the "
        "rest (group `processors`)",
        Life.BOUNDED,
        "results_room entries, what processors hold, and a failed result for each dead letter",
    ),
    Kind(
        "dead",
        "stream",
        "dead letters: l lane, n attempts, w reason, j job, x picture; or p partition, e entry, "
        "o lane, r result",
        Life.BOUNDED,
        "dead_letters entries",
    ),
    Kind(
        "dropped",
        "hash",
        "`lane:reason`: how many live jobs were let go",
        Life.BOUNDED,
        "two fields for each live lane",
    ),
    Kind(
        "lease",
        "hash",
        "`partition`, or `camera:NAME`: its owner and fencing token",
        Life.EXPIRES,
        "one for each partition and each camera",
    ),
    Kind(
        "tokens",
        "hash",
        "the last fencing token of each partition and each camera",
        Life.BOUNDED,
        "a field for each partition, and for each camera that ever was",
    ),
    Kind(
        "present",
        "zset",
        "the processes that are alive, by when that ends in ms of Redis' clock",
        Life.EXPIRES,
        "a member for each process",
    ),
    Kind(
        "reports",
        "hash",
        "what each process that is alive says of itself, as JSON",
        Life.EXPIRES,
        "a field for each process, with figures for each camera",
    ),
    Kind(
        "agreed",
        "string",
        "`setting`: its value in the processes that are alive, which all must share",
        Life.EXPIRES,
        "one for the setting `partitions`",
    ),
    Kind(
        "request",
        "string",
        "what all processes were asked for last, such as reading their file again",
        Life.EXPIRES,
        "one",
    ),
    Kind(
        "spent",
        "string",
        "`engine:hour|day:begin`: what an engine elsewhere has cost since then, in UTC seconds",
        Life.EXPIRES,
        "two for each engine with a budget, of this hour and day and of those before",
    ),
    Kind(
        "clips",
        "hash",
        "`camera`: the clips that are wanted of it, by reference",
        Life.EXPIRES,
        "as many as there are events with clips in an hour",
    ),
    Kind(
        "clipped",
        "hash",
        "what became of clips, by reference, until a processor has written it down",
        Life.EXPIRES,
        "as many as there are clips while no processor runs",
    ),
    Kind(
        "watch",
        "string",
        "`camera`: how wide, in pixels, somebody who watches it wants to see it",
        Life.EXPIRES,
        "one for each camera that is watched",
    ),
    Kind(
        "preview",
        "stream",
        "`camera`: its newest frames as small pictures, for those who watch",
        Life.EXPIRES,
        "four entries",
    ),
    Kind(
        "judged",
        "stream",
        "`camera`: what was made of its newest frames, for those who watch",
        Life.EXPIRES,
        "32 entries",
    ),
    Kind(
        "reply",
        "list",
        "`question`: the answer that a visitor of the application waits for",
        Life.EXPIRES,
        "one entry",
    ),
    Kind(
        "bell",
        "stream",
        "`room:lane`, `room:results:partition`: rung for those who wait for room",
        Life.EXPIRES,
        "one entry",
    ),
    Kind("wake", "list", "`engine`: wakes one worker that waits", Life.EXPIRES, "one entry"),
    Kind("wanted", "set", "what somebody waits for room in", Life.EXPIRES, "lanes and partitions"),
)


def base_of(prefix: str) -> str:
    """What all keys of a deployment begin with; no key of that name is ever written."""
    return f"{{{prefix}}}"


def lane_of(job: Job) -> str:
    """The lane of a job; `parts_of` takes it apart again."""
    if job.goes_ahead:
        return _joined(job.engine, "ahead", job.frame.camera)
    return lane_named(job.engine, job.frame.camera, live=job.live)


def lane_named(engine: str, camera: str, *, live: bool) -> str:
    """The lane of a camera's frames for an engine."""
    return _joined(engine, "live" if live else "file", camera)


def picture_of(frame: Frame) -> str:
    """The name of a frame's picture."""
    return f"{run_named(frame.camera, frame.run)}:{frame.seq}"


def run_named(camera: str, run: str) -> str:
    """The name of a camera run."""
    return _joined(camera, run)


def flight_named(engine: str, camera: str, run: str) -> str:
    """The name of the jobs on their way of one camera run and engine."""
    return _joined(engine, camera, run)


def lease_named(what: Leased) -> str:
    """The name of a lease; what stands before the first colon is its kind."""
    return _joined(*str(what).split(":", 1))


def engine_named(engine: str) -> str:
    """The name of an engine's keys."""
    return _joined(engine)


def parts_of(name: str) -> tuple[str, ...]:
    """What a name was made of."""
    return tuple(unquote(part, errors="surrogatepass") for part in name.split(":"))


def _joined(*parts: str) -> str:
    """Parts with a colon between them and none inside."""
    return ":".join(map(_quoted, parts))


@lru_cache(maxsize=4096)
def _quoted(part: str) -> str:
    return quote(part, safe=" ", errors="surrogatepass")

"""The ports of clips: what is wanted of a camera, who cuts it, and where it is written down."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

from pipeline.core.frames import Pixels
from pipeline.core.ranges import is_moment, readable

_LONGEST_TEXT = 2000
WAITS: Final = "it waits on its sampler's machine until the bucket takes it"
"""The last part of the reason of a clip that is held."""
CLIP: Final = "clip"
"""The key of an event's data that says which clip shows it."""
MOST_FILES: Final = 20
"""A clip has no more files: its camera changes its stream all the time."""

ClipState = Literal["wanted", "held", "ready", "partial", "failed"]

WANTED: Final[ClipState] = "wanted"
HELD: Final[ClipState] = "held"
"""Its files are finished, and wait on the machine that made them until they can be sent."""
READY: Final[ClipState] = "ready"
PARTIAL: Final[ClipState] = "partial"
FAILED: Final[ClipState] = "failed"


@dataclass(frozen=True, slots=True)
class ClipWish:
    """A piece of a camera's video that events ask for. Times are UTC seconds of capture."""

    reference: str
    """Where its file will be, relative to the media folder; names the wish."""
    camera: str
    run: str
    since: float
    until: float
    """Grows while further events of the camera fall into the clip."""
    event_at: float
    """When its first event happened: what lies before that is the pre-roll."""


@dataclass(frozen=True, slots=True)
class ClipFile:
    """What is in a clip's file."""

    since: float
    until: float
    size: int
    digest: str
    """SHA-256 of its content."""
    codec: str
    width: int
    height: int
    pictures: int


@dataclass(frozen=True, slots=True)
class ClipAnswer:
    """What became of a wish."""

    reference: str
    camera: str
    state: ClipState
    reason: str = ""
    """Why it is partial or failed, as a sentence."""
    file: ClipFile | None = None
    folder: str = ""
    """The media folder that the file was written to."""
    until: float = 0.0
    """Up to when the clip was wanted when this was answered."""
    more: tuple[ClipFile, ...] = ()
    """Further files, each of which goes on after the one before it; see `file_reference`."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip as the store knows it."""

    wish: ClipWish
    state: ClipState
    reason: str = ""
    file: ClipFile | None = None
    folder: str = ""
    kept_at: float = 0.0
    """UTC seconds of the moment at which it was wanted."""
    more: tuple[ClipFile, ...] = ()
    """Further files, each of which goes on after the one before it."""

    @property
    def files(self) -> Sequence[tuple[str, ClipFile]]:
        """All of its files with their references, in the order in which they are to be played."""
        every = () if self.file is None else (self.file, *self.more)
        return [
            (file_reference(self.wish.reference, nth), file) for nth, file in enumerate(every, 1)
        ]

    @property
    def asked_s(self) -> float:
        """How much of the time before its first event was asked for."""
        return max(0.0, self.wish.event_at - self.wish.since)

    @property
    def preroll_s(self) -> float | None:
        """How much of the time before its first event is in the file; None without one."""
        return None if self.file is None else max(0.0, self.wish.event_at - self.file.since)


def file_reference(reference: str, nth: int) -> str:
    """Where the nth file of a clip is, from 1: `….mp4`, `….2.mp4`, `….3.mp4`."""
    if nth == 1:
        return reference
    stem, dot, ending = reference.rpartition(".")
    return f"{stem}.{nth}.{ending}" if dot else f"{reference}.{nth}"


class ClipRecords(Protocol):
    """Which clips were wanted, and what became of them. Every method raises StoreError."""

    def clip_around(self, camera: str, run: str, at: float) -> ClipWish | None:
        """The clip of a camera's run that a moment lies in; of several the one that ends last."""
        ...

    def clips(
        self,
        states: Collection[ClipState] = (),
        camera: str | None = None,
        limit: int = 1000,
        *,
        newest_first: bool = False,
    ) -> Sequence[Clip]:
        """Clips in order of capture time; of all states where none is named.

        The newest first are those that were wanted last, whatever a clock has said meanwhile.
        """
        ...

    def clip(self, reference: str) -> Clip | None:
        """One clip."""
        ...

    def clip_bytes(self) -> int:
        """The size of all clips together."""
        ...

    def settle_clip(self, answer: ClipAnswer) -> bool:
        """Note what became of a clip; False where it is unknown or was settled before."""
        ...

    def forget_clips(self, references: Sequence[str]) -> None:
        """Delete records, once the files are gone or belong to somebody else."""
        ...


class ClipExchange(Protocol):
    """Takes wishes from the processors to the samplers that have the packets, and answers back.

    Everything may be repeated: a wish replaces an earlier one with the same reference, and an
    answer stays until it is settled. All methods raise QueueError.
    """

    def ask(self, wishes: Sequence[ClipWish]) -> None:
        """Ask for clips; those that nobody answers within an hour are dropped."""
        ...

    def wishes(self, cameras: Collection[str]) -> Sequence[ClipWish]:
        """What is wanted of these cameras and was not answered yet."""
        ...

    def answer(self, answer: ClipAnswer) -> None:
        """Answer a wish, which is then over. Raises CameraTakenError where another process has
        the camera by now.
        """
        ...

    def answers(self) -> Sequence[ClipAnswer]:
        """The answers that are not settled."""
        ...

    def settle(self, references: Sequence[str]) -> None:
        """Drop answers that are written down."""
        ...


@dataclass(frozen=True, slots=True)
class ClipNeed:
    """What a source has to keep of its stream for clips."""

    before_s: float
    """How much before an event is wanted."""
    lag_s: float
    """How long after its capture an event may be decided."""
    most_bytes: int


@dataclass(frozen=True, slots=True)
class ClipMake:
    """How a clip is made of what a source kept."""

    hide: Callable[[Pixels], Pixels] | None = None
    """Blacks out what privacy masks hide: the clip is then encoded anew from such pictures, and
    nothing of the stream itself is copied."""
    fps: float = 10.0
    """Pictures a second of a clip that is encoded anew, at most."""
    side: int = 1280
    """The longest side of such a clip's pictures in pixels."""


class ClipMaking(Protocol):
    """A clip that is being written; one thread calls it. Raises OSError and ClipError."""

    def advance(self, until: float) -> bool:
        """Write some of what there is up to `until`; whether nothing of that is still to come."""
        ...

    @property
    def has_changed(self) -> bool:
        """Whether what comes next does not fit into its file, and `follow` is to take it."""
        ...

    def follow(self, unfinished: Path) -> "ClipMaking":
        """What goes on in another file, with the picture that did not fit; this one is to be
        finished.
        """
        ...

    @property
    def remark(self) -> str:
        """What is not as it was wanted, as a sentence; empty if nothing is known."""
        ...

    def finish(self, target: Path) -> ClipFile:
        """Close it, and put it in its place as a file that plays everywhere."""
        ...

    def abandon(self) -> None:
        """Close it as it is."""
        ...


class ClipError(Exception):
    """A clip cannot be made of what a source has; the message is a sentence."""


@runtime_checkable
class ClipSource(Protocol):
    """A source from whose stream clips can be cut."""

    @property
    def live(self) -> bool:
        """Whether its time passes whether it is read or not."""
        ...

    def keep_for_clips(self, need: ClipNeed) -> None:
        """Keep what clips need, from the next `open` on."""
        ...

    def cut(self, unfinished: Path, since: float, make: ClipMake) -> ClipMaking:
        """Begin a clip with the last picture at or before `since` that stands alone.

        `unfinished` is the empty file to write to. Raises ClipError where nothing from then on is
        kept (yet).
        """
        ...

    @property
    def kept_bytes(self) -> int:
        """How much is kept at the moment."""
        ...


class ClipFolder(Protocol):
    """Where clips are written, and kept."""

    @property
    def folder(self) -> str:
        """What the place is called, for all processes alike."""
        ...

    def place(self, reference: str) -> Path:
        """Where a clip's file is to be put; its folder exists. Raises StoreError."""
        ...

    def has_room(self) -> bool:
        """Whether there is room for a clip."""
        ...

    def keep(self, reference: str, placed: Path) -> None:
        """Keep a finished file: where files are sent somewhere else, it is held until it is sent.

        Raises StoreError.
        """
        ...

    def found(self, reference: str, *, is_older: bool) -> Path | None:
        """A finished file of a clip, which an earlier process has left; None without one.

        `is_older` is whether it may have been sent already, and is to be fetched then. Raises
        StoreError.
        """
        ...

    def share(self, reference: str, other: str) -> bool:
        """Keep a finished file as that of another clip too; False where it is not there any more.

        Raises StoreError.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file of a clip that is still to be sent."""

    reference: str
    size: int
    since: float
    """UTC seconds from when on it is held."""


class HeldClips(Protocol):
    """Files of clips on this machine that are to be sent to where they are kept."""

    def held(self) -> Sequence[HeldFile]:
        """All of them, the oldest first."""
        ...

    def send(self, reference: str) -> None:
        """Send one, which is not held then any more; raises StoreError."""
        ...

    def drop(self, reference: str) -> None:
        """Delete one; raises StoreError."""
        ...


def as_record(wish: ClipWish) -> dict[str, Any]:
    """A wish as JSON."""
    return asdict(wish)


def wish_from(record: Any) -> ClipWish:
    """The wish that `as_record` made; raises ValueError for anything else."""
    try:
        wish = ClipWish(
            reference=_text(record["reference"]),
            camera=_text(record["camera"]),
            run=_text(record["run"]),
            since=_moment(record["since"]),
            until=_moment(record["until"]),
            event_at=_moment(record["event_at"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a wish for a clip has no {error}") from None
    return wish


def answer_record(answer: ClipAnswer) -> dict[str, Any]:
    """An answer as JSON."""
    return asdict(answer)


def answer_from(record: Any) -> ClipAnswer:
    """The answer that `answer_record` made; raises ValueError for anything else."""
    try:
        state, file = record["state"], record.get("file")
        if state not in (HELD, READY, PARTIAL, FAILED):
            raise ValueError(f"a clip has the unknown state {state!r}")
        return ClipAnswer(
            reference=_text(record["reference"]),
            camera=_text(record["camera"]),
            state=state,
            reason=_text(record.get("reason", "")),
            file=None if file is None else _file_from(file),
            folder=_text(record.get("folder", "")),
            until=_moment(record["until"]),
            more=tuple(_file_from(one) for one in list(record.get("more", ()))[:MOST_FILES]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer about a clip has no {error}") from None


def _file_from(record: Any) -> ClipFile:
    numbers = {name: record[name] for name in ("size", "width", "height", "pictures")}
    if not all(type(value) is int and 0 <= value < 2**62 for value in numbers.values()):
        raise ValueError("a clip has a number that is none")
    return ClipFile(
        since=_moment(record["since"]),
        until=_moment(record["until"]),
        digest=_text(record["digest"]),
        codec=_text(record["codec"]),
        **numbers,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError("a clip has a text that is none")
    return readable(value)


def _moment(value: Any) -> float:
    if not is_moment(value):
        raise ValueError("a clip has a time that is not between 1900 and 2200")
    return float(value)

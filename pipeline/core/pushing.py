"""The port of messages to browsers: who is told of what, where, and what is on its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

MOST_DEVICES: Final = 10
"""Devices of one person."""
FORGOTTEN_AFTER_S: Final = 90 * 86400.0
"""A device on which nobody has opened the application for so long is told nothing more."""


@dataclass(frozen=True, slots=True)
class PushDevice:
    """A browser that is told of events, as its push service knows it."""

    id: str
    """Follows from the endpoint; opens nothing."""
    who: str
    endpoint: str
    """The address of the push service that messages for it are sent to: a secret."""
    public_key: str
    """Of the browser (`p256dh`): base64url of 65 bytes."""
    auth: str
    """Of the browser: base64url of 16 bytes."""
    language: str
    """Of the pages in it, such as `de`."""
    made_at: float
    """UTC seconds, as the other times."""
    seen_at: float
    """When the application was last opened there."""
    session: str | None = None
    """The session that it was last opened by; whoever ends it ends the messages too."""
    is_foreign: bool = False
    """Whether another service knows the person, so that only the session says what he may see."""
    agent: str = ""
    """What the browser calls itself."""
    told_at: float | None = None
    """When its push service last took a message."""
    trouble: str = ""
    """Why it did not take the last one; empty if it did."""


@dataclass(frozen=True, slots=True)
class PushWishes:
    """What somebody wants to be told of, on all his devices."""

    cameras: tuple[str, ...] | None = None
    """None for all that he may see."""
    rules: tuple[tuple[str, str], ...] | None = None
    """Camera and name of each rule; None for all. Trouble of a camera is its rule `camera`."""
    ends: bool = False
    """Whether also the end of what he was told of."""
    quiet: tuple[int, int] | None = None
    """From which minute of the day to which nothing is told; past midnight if the second is
    smaller."""
    timezone: str = "UTC"
    """Of the quiet hours."""
    pause_s: float = 300.0
    """How long after a message nothing more is told of the same rule of the same camera."""

    def wants(self, camera: str, rule: str) -> bool:
        """Whether he wants to be told of this rule of this camera."""
        if self.cameras is not None and camera not in self.cameras:
            return False
        return self.rules is None or (camera, rule) in self.rules

    def is_quiet(self, minute: int) -> bool:
        """Whether nothing is told in this minute of his day, from 0 to 1439."""
        if self.quiet is None:
            return False
        since, until = self.quiet
        if since <= until:
            return since <= minute < until
        return minute >= since or minute < until


@dataclass(frozen=True, slots=True)
class PushLetter:
    """A message that is on its way: an event for a device."""

    device: str
    position: int
    """Of the event in the store."""
    made_at: float
    """UTC seconds, as the other time."""
    next_at: float
    """When it is to be sent."""
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ToldOf:
    """What somebody was last told of a rule of a camera."""

    who: str
    camera: str
    rule: str
    at: float
    """UTC seconds."""
    happening: str


class PushOutcome(StrEnum):
    """What became of a message."""

    SENT = "sent"
    """The push service has taken it."""
    GONE = "gone"
    """The device does not want any more: it was removed."""
    REFUSED = "refused"
    """The push service has refused it for good."""
    TOO_OLD = "too_old"
    """It could not be sent for so long that it was given up."""
    FORBIDDEN = "forbidden"
    """Whom it was for may not see the camera any more."""


@dataclass(frozen=True, slots=True)
class PushStep:
    """What is written down together."""

    position: int | None = None
    """Events up to here were looked at."""
    letters: Sequence[PushLetter] = ()
    """New ones, or those that are to be tried again."""
    told: Sequence[ToldOf] = ()
    done: Sequence[PushLetter] = ()
    """Those that are not on their way any more."""
    devices: Sequence[PushDevice] = ()
    """Those whose `told_at` and `trouble` have changed."""
    gone: Sequence[str] = ()
    """Ids of devices that want no more."""
    outcomes: Mapping[PushOutcome, int] = field(default_factory=dict)


class PushStore(Protocol):
    """Devices, wishes and messages on their way. All methods raise StoreError."""

    def devices(self, who: str | None = None) -> Sequence[PushDevice]:
        """Those of a person or of all, the oldest first."""
        ...

    def add_device(self, device: PushDevice, most: int = MOST_DEVICES) -> bool:
        """Keep a device, instead of one with the same id; False if he has too many others."""
        ...

    def remove_device(self, device_id: str, who: str) -> bool:
        """Forget a device of a person; False where he has none of this id."""
        ...

    def wishes(self) -> Mapping[str, PushWishes]:
        """What persons want to be told of, by their names; who is not there has said nothing."""
        ...

    def keep_wishes(self, who: str, wishes: PushWishes) -> None:
        """Keep what somebody wants to be told of."""
        ...

    def key(self, new: str) -> str:
        """The private key that messages are signed by; a new one if there is none yet."""
        ...

    def claim(self, holder: str, lasts_s: float, *, to_newest: bool = False) -> int | None:
        """The right to send, for so long, and how far events were looked at.

        None while another has it. The first who ever asks begins after the newest event, and so
        does who asks with `to_newest`.
        """
        ...

    def release(self, holder: str) -> None:
        """Give the right to send back."""
        ...

    def told(self) -> Sequence[ToldOf]:
        """What persons were last told of each rule."""
        ...

    def due(self, now: float, limit: int) -> Sequence[PushLetter]:
        """Messages that are to be sent, those that have waited longest first."""
        ...

    def waiting(self) -> int:
        """How many messages are on their way."""
        ...

    def note(self, holder: str, step: PushStep, now: float) -> bool:
        """Write all of it down; False, and nothing of it, if another has the right."""
        ...

    def outcomes(self, since: float) -> Mapping[PushOutcome, int]:
        """How many messages ended how, from the day of UTC with this moment on."""
        ...

    def tidy(self, now: float) -> None:
        """Forget devices that nobody has used for long, and what is only of the past."""
        ...

"""What a sink that tells later remembers: its allowance, and what waits for a message."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.sinks._text import printable
from pipeline.core.events import Event
from pipeline.core.ranges import nearest_moment
from pipeline.core.sinks import HeldBack

STATE: Final = "state"
# So many names are written out; more are counted.
_MOST_NAMES = 8
_A_DAY_S = 20 * 3600.0
_WORDS = {"clock": "wrong clock"}


@dataclass(slots=True)
class Digest:
    """Events that one message is to be about."""

    since: float
    due: float
    counts: dict[str, int] = field(default_factory=dict)
    """How many, by camera."""
    picture: str | None = None
    """The reference of the latest picture."""

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.counts.values())

    def add(self, event: Event, picture: str | None) -> None:
        """One more."""
        name = printable(event.camera or event.rule)
        self.counts[name] = self.counts.get(name, 0) + 1
        self.picture = picture or self.picture

    def sentence(self, zone: ZoneInfo, now: float) -> str:
        """Such as `and 14 more since 10:02: door 9, yard 5`."""
        most = sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))
        names = [f"{name} {number}" for name, number in most[:_MOST_NAMES]]
        rest = sum(number for _, number in most[_MOST_NAMES:])
        if rest:
            names.append(f"{len(most) - _MOST_NAMES} others {rest}")
        return f"and {self.total} more since {clock(self.since, zone, now)}: {', '.join(names)}"


@dataclass(slots=True)
class TroubleNews:
    """What happened of one kind of trouble with one camera since the last message."""

    camera: str
    state: str
    since: float | None = None
    """When it began, if that is news."""
    until: float | None = None
    """When it ended; None while it goes on."""
    times: int = 1
    detail: str = ""
    is_urgent: bool = False

    @property
    def word(self) -> str:
        """The trouble in a word or two."""
        return _WORDS.get(self.state, self.state)

    def hear(self, event: Event) -> None:
        """Its beginning or its end."""
        if event.phase == "end":
            self.until = event.at
        else:
            self.times += self.since is not None
            self.since = event.at if self.since is None else self.since
            self.until = None
            said = event.data.get("message") or event.data.get("reason") or ""
            self.detail = printable(str(said))[:500]


@dataclass(slots=True)
class HeldLedger:
    """Everything a sink knows between two messages."""

    tokens: float
    """How many messages may be sent at once."""
    filled_at: float
    """When that was so, in UTC seconds."""
    messages: int = 0
    held: int = 0
    silenced: int = 0
    reason: str = ""
    digest: Digest | None = None
    troubles: dict[str, TroubleNews] = field(default_factory=dict)
    troubles_due: float = 0.0

    def figures(self) -> HeldBack:
        """How it stands, for whoever asks."""
        waiting = len(self.troubles) + (self.digest.total if self.digest else 0)
        return HeldBack(self.messages, self.held, waiting, self.silenced, self.reason)

    def as_text(self) -> str:
        """As it is noted."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "HeldLedger":
        """What was noted; ValueError or TypeError for what is none."""
        known: dict[str, Any] = json.loads(text)
        digest, troubles = known.pop("digest"), known.pop("troubles")
        return cls(
            **known,
            digest=None if digest is None else Digest(**digest),
            troubles={key: TroubleNews(**one) for key, one in troubles.items()},
        )

    def refill(self, now: float, most: int, per_s: float) -> None:
        """Add what the time since then allows; a clock that was set back allows nothing."""
        passed_s = max(0.0, now - self.filled_at)
        self.tokens = min(float(most), self.tokens + passed_s * most / per_s)
        self.filled_at = now

    def hear_of_trouble(self, event: Event, due: float, *, is_urgent: bool) -> None:
        """Trouble with a camera began or ended."""
        state = str(event.data.get("state") or event.type.removeprefix("camera_"))
        key = f"{event.camera}\x1f{state}"
        if not self.troubles:
            self.troubles_due = due
        news = self.troubles.setdefault(key, TroubleNews(printable(event.camera), printable(state)))
        news.hear(event)
        news.is_urgent = news.is_urgent or is_urgent


def clock(at: float, zone: ZoneInfo, now: float) -> str:
    """A time of day; with the date where it is long ago."""
    local = datetime.fromtimestamp(nearest_moment(at), zone)
    return local.strftime("%H:%M" if abs(now - at) < _A_DAY_S else "%Y-%m-%d %H:%M")


def trouble_message(
    news: Mapping[str, TroubleNews], zone: ZoneInfo, now: float
) -> tuple[str, str, bool]:
    """Title and text of a message about trouble with cameras, and whether any goes on."""
    goes_on = any(one.until is None for one in news.values())
    lines: dict[str, list[str]] = {}
    for one in news.values():
        lines.setdefault(_what(one, zone, now), []).append(one.camera)
    cameras = list(dict.fromkeys(one.camera for one in news.values()))
    if len(cameras) == 1:
        title = f"{cameras[0]}: {', '.join(lines)}"
        details = [one.detail for one in news.values() if one.detail and one.until is None]
        return title, "\n".join(details or [title]), goes_on
    words = list(dict.fromkeys(one.word for one in news.values()))
    if goes_on:
        title = f"{len(cameras)} cameras in trouble: {', '.join(words)}"
    else:
        title = f"{len(cameras)} cameras: no longer {', '.join(words)}"
    return title, "\n".join(f"{what}: {', '.join(names)}" for what, names in lines.items()), goes_on


def _what(one: TroubleNews, zone: ZoneInfo, now: float) -> str:
    often = f" ({one.times} times)" if one.times > 1 else ""
    if one.since is None:
        until = now if one.until is None else one.until
        return f"no longer {one.word} since {clock(until, zone, now)}"
    since = clock(one.since, zone, now)
    if one.until is None:
        return f"{one.word} since {since}{often}"
    return f"{one.word} from {since} to {clock(one.until, zone, now)}{often}"

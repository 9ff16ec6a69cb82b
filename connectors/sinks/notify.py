"""Events to people's phones: one message a happening, few at a time, through apprise."""

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from connectors.sinks._apprise import Kind, MessageService, Parcel
from connectors.sinks._base import BaseSinkConfig, Names, Phases, report_file
from connectors.sinks._held import STATE, Digest, HeldLedger, trouble_message
from connectors.sinks._pictures import MediaFile, picture_note, picture_of
from connectors.sinks._templates import (
    TemplateError,
    TextTemplate,
    picture_reference,
    values_of,
)
from connectors.sinks._text import printable
from pipeline.core.address import NotifyAddress
from pipeline.core.config import (
    ByteCount,
    ByteSize,
    Config,
    Duration,
    PositiveDuration,
    all_left_out,
    parse_duration,
)
from pipeline.core.errors import SinkError
from pipeline.core.events import REPORT, Event, Phase, is_about_health
from pipeline.core.machine import Lack, missing_libraries
from pipeline.core.ranges import nearest_moment
from pipeline.core.sinks import HELD_BACK, HeldBack, SinkContext, is_chosen
from pipeline.core.time_of_day import TimeOfDay

_log = logging.getLogger(__name__)
_TOLD_FOR_S = 7 * 86400.0
_TITLE, _BODY_BYTES = 200, 8192
# What cannot be told for a reason that will not pass is tried again so much later.
_REFUSED_REST_S = 300.0
_TOLD = "told/"


class MessageLimit(Config):
    """How many messages a sink may send in how long."""

    messages: int = Field(6, ge=1, le=10_000)
    """How many messages may be sent in that time."""
    per: PositiveDuration = Field(default_factory=lambda: parse_duration("10m"))
    """The time in which so many may be sent."""


class QuietHours(Config):
    """Hours of the site's clock in which nobody is to be woken; they may run past midnight."""

    from_: TimeOfDay = Field(alias="from")
    """When they begin, such as 22:00."""
    to: TimeOfDay
    """When they end, such as 6:00."""
    digest: bool = True
    """Whether what happens is told in one message afterwards; if not, it is only counted."""

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.from_ == self.to:
            raise ValueError(f"`from` and `to` are both {self.to}; leave `quiet` out, or edit one")
        return self

    def holds(self, now: float, zone: ZoneInfo) -> bool:
        """Whether the clock shows one of these hours; an hour that it shows twice is one twice."""
        shown = datetime.fromtimestamp(nearest_moment(now), zone).strftime("%H:%M")
        if self.from_ < self.to:
            return self.from_ <= shown < self.to
        return shown >= self.from_ or shown < self.to


class NotifyConfig(BaseSinkConfig):
    """Send messages to a phone, a chat or a mailbox, through one of the services of apprise."""

    type: Literal["notify"] = "notify"
    url: NotifyAddress
    """The service and who is to be told, as https://appriseit.com/services/ says; such addresses
    are passwords, so keep it elsewhere: `${GUARD_URL}`, or `url_file`. One receiver a sink: where
    one of several accepts a message, repeating it for the others would tell that one again."""
    phases: Phases = ("start", "single")
    """Which phases of happenings are told; `end` may be added, and is a message of its own."""
    recoveries: bool = True
    """Whether the end of trouble with a camera is told, too."""
    title: TextTemplate = TextTemplate(
        "{% if camera %}{{ camera }}: {% endif %}{{ rule }}{% if phase == 'end' %} ended{% endif %}"
    )
    """The headline, a template."""
    body: TextTemplate = TextTemplate("{{ summary }}")
    """The text, a template; trouble with cameras has words of its own."""
    picture: bool = True
    """Whether an event's picture is attached, where the service takes files."""
    picture_wait: Duration = Field(default_factory=lambda: parse_duration("2s"))
    """How long an event waits for its picture, at most; then it is sent without and says so."""
    max_side: int = Field(1280, ge=64, le=8192)
    """The longer side of a picture in pixels; a larger one is made smaller."""
    max_picture: ByteSize = Field(default_factory=lambda: ByteCount(1_000_000))
    """How large a picture may be; a larger one is made smaller."""
    link: bool = True
    """Whether a link to the picture is added, where there is `web.public_url`."""
    at_most: MessageLimit | None = Field(default_factory=all_left_out, validate_default=True)
    """How many messages are sent in how long; `null` for any number. What exceeds it is told
    together, in one message."""
    digest: PositiveDuration = Field(default_factory=lambda: parse_duration("5m"))
    """How long such events are collected before they are told."""
    urgent: Names = ()
    """Rules, cameras or types that are told at once whatever `at_most` and `quiet` say."""
    quiet: tuple[QuietHours, ...] = ()
    """Hours of the day in which only what is `urgent` is told."""
    gather: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long trouble with cameras is collected: what takes down many is one message."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("30s"))
    """How long one attempt may take as a whole, with all its requests."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: NotifyAddress) -> NotifyAddress:
        text = url.reveal()
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", text):
            raise ValueError("is no address of a service; one looks like ntfys://ntfy.sh/TOPIC")
        if re.search(r"\s", text):
            raise ValueError("has a space, which no address can have; write it as %20")
        return url

    @field_validator("phases")
    @classmethod
    def _no_updates(cls, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        if "update" in phases:
            raise ValueError("updates are never told; choose of start, single and end")
        return phases

    @property
    def health_phases(self) -> tuple[Phase, ...]:
        """The beginning of trouble with cameras, and its end if that is wanted."""
        return (*self.phases, "end") if self.recoveries else self.phases

    @property
    def words_trouble_itself(self) -> bool:
        """Such messages may be about several cameras."""
        return True

    @property
    def at_once(self) -> int:
        """One: each is a message, and the next one is sent only while this process delivers."""
        return 1

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed, and what it makes of the address."""
        missing = list(missing_libraries("sinks of type notify", ["apprise"], "notify"))
        yield from missing
        if not missing:
            try:
                MessageService(self.url, self.timeout.total_seconds())
            except SinkError as error:
                yield Lack("url", str(error))

    def build(self, context: SinkContext) -> "NotifySink":
        """A sink that connects for each message; SinkError for a `url` that apprise cannot use."""
        return NotifySink(self, context)


class NotifySink:
    """At most one message a happening, as far as that can be known.

    What it has told and what waits is noted in the store after each message, before the lane's
    cursor moves: only a process that is killed between the service's answer and that note tells
    again.
    """

    def __init__(self, config: NotifyConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._clock, self._notes = context.clock, context.notes
        self._zone = ZoneInfo(context.timezone)
        self._service = MessageService(config.url, config.timeout.total_seconds())
        self._keep_s = max(_TOLD_FOR_S, 2 * config.give_up_after.total_seconds())
        # What could not be noted although it is done: nothing is sent before it is.
        self._unnoted: dict[str, str | None] = {}
        self._figures = HeldBack()
        self._is_holding = self._is_silent = False

    def send(self, events: Sequence[Event]) -> None:
        """Tell them, or note that they are to be told later; SinkError where a service refuses."""
        self._catch_up()
        for event in events:
            key = f"{_TOLD}{event.id if event.phase in ('start', 'single') else event.record_id}"
            if self._notes.note(key) is None:
                self._take(event, key)

    def tick(self) -> None:
        """Send what was held back and is due."""
        self._catch_up()
        ledger, now = self._ledger(), self._clock.now()
        is_quiet = self._quiet(now) is not None
        digest = ledger.digest
        if digest is not None and not is_quiet and self._is_due(digest.due, now):
            self._tell_digest(ledger, digest, now)
        if not ledger.troubles or not self._is_due(ledger.troubles_due, now):
            return
        is_urgent = any(one.is_urgent for one in ledger.troubles.values())
        if is_urgent or (not is_quiet and self._may_send(ledger, now)):
            self._tell_troubles(ledger, now, counts=not is_urgent)

    def held_back(self) -> HeldBack:
        """How many messages were sent, and what waits."""
        return self._figures

    def close(self) -> None:
        """Nothing stays open between messages; what waits stays in the store."""
        waiting, self._figures = self._figures.waiting, HeldBack()
        if waiting:
            _log.info(
                "sink %s: %d events wait for a later message; the next run sends it",
                self._context.name,
                waiting,
            )

    def _take(self, event: Event, key: str) -> None:
        """Tell an event, or hold it back."""
        ledger, now = self._ledger(), self._clock.now()
        names = (event.rule, event.camera, event.type)
        is_urgent = bool(self._config.urgent) and is_chosen(names, self._config.urgent, ())
        quiet = None if is_urgent else self._quiet(now)
        if event.type == REPORT:
            self._tell(event)
            ledger.messages += 1
        elif quiet is not None and not quiet.digest:
            ledger.silenced += 1
            self._say_silent(quiet)
        elif is_about_health(event):
            due = now + self._config.gather.total_seconds()
            ledger.hear_of_trouble(event, due, is_urgent=is_urgent)
            ledger.held += 1
        elif is_urgent or (quiet is None and self._may_send(ledger, now)):
            self._tell(event)
            ledger.messages += 1
            ledger.tokens -= not is_urgent and self._config.at_most is not None
        else:
            self._hold(ledger, event, now)
        self._note(ledger, {key: ""})

    def _is_due(self, due: float, now: float) -> bool:
        """Whether it is time; after the clock was set back nothing waits longer than it would."""
        config = self._config
        longest_s = max(config.digest, config.gather).total_seconds() + _REFUSED_REST_S
        return now >= due or now < due - longest_s

    def _hold(self, ledger: HeldLedger, event: Event, now: float) -> None:
        if ledger.digest is None:
            ledger.digest = Digest(now, now + self._config.digest.total_seconds())
        ledger.digest.add(event, picture_reference(event))
        ledger.held += 1
        if not self._is_holding:
            self._is_holding = True
            _log.info(
                "sink %s: events are held back for one message, as its file says; `moonwatch "
                "status` and metrics count them",
                self._context.name,
            )

    def _say_silent(self, quiet: QuietHours) -> None:
        if not self._is_silent:
            self._is_silent = True
            _log.info(
                "sink %s: nobody is told of what happens between %s and %s, as its file says; "
                "`moonwatch status` and metrics count it",
                self._context.name,
                quiet.from_,
                quiet.to,
            )

    def _tell(self, event: Event) -> None:
        """One event, with its picture; a report with its file."""
        values = values_of(event, self._context)
        file, note = self._file_of(event)
        try:
            values["picture_note"] = note
            title = self._config.title.render(values)
            body = self._config.body.render(values)
        except TemplateError as error:
            raise SinkError(
                f"the event cannot be worded for {self._service.place}: {error}", retryable=False
            ) from None
        lines = [body, f"({note})" if note and note not in body else ""]
        link = values["link"]
        if self._config.link and isinstance(link, str) and link not in body:
            lines.append(link)
        self._send(title, "\n".join(line for line in lines if line), "info", file)

    def _file_of(self, event: Event) -> tuple[MediaFile | None, str]:
        """What is attached, and why something is missing that should be."""
        config = self._config
        if not self._service.takes_files:
            return None, ""
        if event.type == REPORT:
            kind = str(event.data.get("file_type")).partition(";")[0]
            content = report_file(event, self._context.read)
            return MediaFile(str(event.data.get("file")), content, kind), ""
        if not config.picture:
            return None, ""
        picture = picture_of(
            event,
            self._context,
            max_side=config.max_side,
            most_bytes=int(config.max_picture),
            wait_s=config.picture_wait.total_seconds(),
        )
        return picture, picture_note(event, picture)

    def _tell_digest(self, ledger: HeldLedger, digest: Digest, now: float) -> None:
        body = digest.sentence(self._zone, now)
        link = self._context.link(digest.picture) if digest.picture else None
        if self._config.link and link is not None:
            body += f"\n{link}"
        events = "1 more event" if digest.total == 1 else f"{digest.total} more events"
        if not self._sent_later(ledger, f"{self._context.site}: {events}", body, "info"):
            digest.due = now + max(self._config.digest.total_seconds(), _REFUSED_REST_S)
            self._note(ledger, {})
            return
        ledger.digest, self._is_holding, self._is_silent = None, False, False
        self._note(ledger, {})

    def _tell_troubles(self, ledger: HeldLedger, now: float, *, counts: bool) -> None:
        title, body, goes_on = trouble_message(ledger.troubles, self._zone, now)
        if not self._sent_later(ledger, title, body, "failure" if goes_on else "success"):
            ledger.troubles_due = now + _REFUSED_REST_S
            self._note(ledger, {})
            return
        ledger.tokens -= counts and self._config.at_most is not None
        ledger.troubles = {}
        self._note(ledger, {})

    def _sent_later(self, ledger: HeldLedger, title: str, body: str, kind: Kind) -> bool:
        """Whether a message about several events was accepted.

        If the service refuses it, it is not given up, and holds nothing else up.
        """
        try:
            self._send(title, body, kind, None)
        except SinkError as error:
            if error.retryable:
                raise
            if ledger.reason != str(error):
                _log.warning(
                    "sink %s: what was held back is refused, and kept: %s",
                    self._context.name,
                    error,
                )
            ledger.reason = str(error)
            return False
        ledger.messages += 1
        ledger.reason = ""
        return True

    def _send(self, title: str, body: str, kind: Kind, file: MediaFile | None) -> None:
        title = printable(" ".join(title.split()))[:_TITLE]
        plain = "\n".join(printable(line) for line in body.splitlines())
        text = plain.encode()[:_BODY_BYTES].decode(errors="ignore")
        # A message without any text is none to apprise.
        self._service.send(Parcel(title, text or title or self._context.site, kind, file))

    def _quiet(self, now: float) -> QuietHours | None:
        return next((one for one in self._config.quiet if one.holds(now, self._zone)), None)

    def _may_send(self, ledger: HeldLedger, now: float) -> bool:
        limit = self._config.at_most
        if limit is None:
            return True
        ledger.refill(now, limit.messages, limit.per.total_seconds())
        return ledger.tokens >= 1.0

    def _ledger(self) -> HeldLedger:
        """As it was noted last, by whichever process."""
        noted, limit = self._notes.note(STATE), self._config.at_most
        most = float(limit.messages) if limit is not None else 0.0
        ledger = HeldLedger(most, self._clock.now())
        if noted is not None:
            try:
                ledger = HeldLedger.read(noted)
            except (ValueError, TypeError, KeyError, AttributeError):
                _log.warning(
                    "sink %s: what it held back cannot be read, and is lost", self._context.name
                )
        self._figures = ledger.figures()
        return ledger

    def _note(self, ledger: HeldLedger, told: dict[str, str | None]) -> None:
        """Note what is done. Until the store takes it, nothing else is done."""
        self._figures = ledger.figures()
        self._unnoted = {**told, STATE: ledger.as_text(), HELD_BACK: self._figures.as_text()}
        self._catch_up()

    def _catch_up(self) -> None:
        if self._unnoted:
            self._notes.take_down(self._unnoted, self._keep_s)
            self._unnoted = {}

"""Events and reports by mail (SMTP): readable text, pictures and reports attached."""

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as AS_SENT
from email.utils import formatdate, parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from connectors.sinks._base import BaseSinkConfig, Listed, report_file
from connectors.sinks._text import printable, readable
from pipeline.core.address import Secret, without_secrets
from pipeline.core.config import PositiveDuration, parse_duration
from pipeline.core.errors import SinkError
from pipeline.core.events import REPORT, Event
from pipeline.core.machine import Lack, unreadable_file
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    import smtplib
    import ssl

_AT_ONCE = 20
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ADDRESS = re.compile(
    r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII
)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WORDS = ("site", "title")
_SUBJECT = 200
_PICTURES, _PICTURES_BYTES = 10, 5_000_000
# More than one load: what was accepted before a failure is not sent again by the next attempt.
_REMEMBERED = 2000
_REFUSED_FOR_GOOD = 500
_ENDING_S = 5.0


def _is_address(value: str) -> str:
    if (
        not value.isascii()
        or not _ADDRESS.fullmatch(parseaddr(value)[1])
        or re.search(r"[\r\n]", value)
    ):
        raise ValueError(f"{value[:60]!r} is not an address; write it like shop@example.org")
    return value


MailAddress = Annotated[str, BeforeValidator(lambda value: _is_address(str(value)))]
"""An address, alone or as `Shop 12 <shop@example.org>`."""


class MailConfig(BaseSinkConfig):
    """Send events and reports by mail, over SMTP."""

    type: Literal["mail"] = "mail"
    host: str
    """The mail server that takes it."""
    port: int | None = Field(None, ge=1, le=65535)
    """Its port; 587 for `starttls`, 465 for `tls` and 25 for `none` when left out."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` begins in the clear and insists on TLS, `tls` begins with it; `none` has none."""
    ca: Path | None = None
    """PEM file of the authorities to trust instead of the usual ones."""
    user: str | None = None
    """Name to log in with; without it nobody logs in."""
    password: Secret | None = None
    """Its password; `password_file` names a file."""
    from_address: MailAddress = Field(alias="sender")
    """Address of the sender; written `sender:`, as `from:` says where a sink begins."""
    to: Annotated[tuple[MailAddress, ...], Listed] = Field(min_length=1)
    """Addresses of those who get it; one alone needs no list. Each gets a mail of its own."""
    subject: str = "{site}: {title}"
    """The subject; `{site}` is the site's name, `{title}` says what happened."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("60s"))
    """How long one attempt may take as a whole, from looking up the name to the last answer."""

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host[:60]!r} is not a host; write it like smtp.example.org")
        return host

    @field_validator("subject")
    @classmethod
    def _known_words(cls, subject: str) -> str:
        for word in _PLACEHOLDER.findall(subject):
            if word not in _WORDS:
                raise ValueError(f"{{{word}}} is not known; there are {{site}} and {{title}}")
        return subject

    @field_validator("password")
    @classmethod
    def _can_be_sent(cls, password: Secret | None) -> Secret | None:
        if password is not None and not password.reveal().isascii():
            raise ValueError("has a letter that is not ASCII, which SMTP's logins cannot carry")
        return password

    @model_validator(mode="after")
    def _login_is_whole_and_hidden(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` (or `password_file`) belong together")
        if self.user is not None and not self.user.isascii():
            raise ValueError("`user` has a letter that is not ASCII, which SMTP cannot carry")
        if self.password is not None and self.tls == "none" and not _is_this_machine(self.host):
            raise ValueError(
                "with `tls: none` the password would cross the network in the clear; write "
                "`tls: starttls` or `tls: tls`"
            )
        return self

    @property
    def at_once(self) -> int:
        """How many events that wait share a mail, at most."""
        return _AT_ONCE

    def lacks(self) -> Iterator[Lack]:
        """Whether the file of authorities can be read here."""
        yield from unreadable_file("ca", self.ca)

    def build(self, context: SinkContext) -> "MailSink":
        """A sink that connects for each attempt; raises SinkError for an unusable `ca`."""
        return MailSink(self, context)

    def probe(self, context: SinkContext) -> str:
        """Connect and log in. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


@dataclass(frozen=True, slots=True)
class _Mail:
    ids: tuple[str, ...]
    """The record ids in it."""
    content: bytes
    """All but the line that says whom it is to."""


class MailSink:
    """One connection for each attempt. At least once, with the same Message-ID.

    Each receiver is a transaction of its own, and who has accepted a mail does not get it again
    when the attempt is repeated for the others.
    """

    def __init__(self, config: MailConfig, context: SinkContext) -> None:
        self._config = config
        self._context, self._read = context, context.read
        self._clock = context.clock
        self._port = config.port or _PORTS[config.tls]
        self._place = f"mail server {config.host}:{self._port}"
        self._tls = self._tls_context()
        self._sent: dict[tuple[str, str], None] = {}

    def send(self, events: Sequence[Event]) -> None:
        """Mail the events; SinkError when the server does not accept them in time."""
        made: dict[tuple[str, ...], list[_Mail]] = {}
        wanted: list[tuple[_Mail, str]] = []
        for receiver in self._config.to:
            fresh = [one for one in events if (one.record_id, receiver) not in self._sent]
            key = tuple(event.record_id for event in fresh)
            if key not in made:
                made[key] = list(self._mails(fresh))
            wanted += [(mail, receiver) for mail in made[key]]
        if wanted:
            self._attempt(wanted)

    def probe(self) -> str:
        """Connect and log in, without a mail; what was found. Raises SinkError."""
        self._attempt([])
        login = "" if self._config.user is None else " and takes the login"
        return f"answers{login}"

    def _attempt(self, wanted: "Sequence[tuple[_Mail, str]]") -> None:
        attempt = _Attempt(self, wanted)
        # A thread of its own ends with the deadline whatever it waits for, also a name's look-up.
        thread = threading.Thread(target=attempt.run, name="mail", daemon=True)
        thread.start()
        timeout_s = self._config.timeout.total_seconds()
        thread.join(timeout_s)
        if thread.is_alive():
            attempt.abandon()
            raise SinkError(f"{self._place} does not answer within {timeout_s:g} s")
        if attempt.error is not None:
            raise attempt.error

    def close(self) -> None:
        """Nothing stays open between attempts."""

    def _mails(self, events: Sequence[Event]) -> Iterator[_Mail]:
        told: list[Event] = []
        for event in events:
            if event.type != REPORT:
                told.append(event)
                continue
            if told:
                yield self._about(told)
                told = []
            yield self._report(event)
        if told:
            yield self._about(told)

    def _about(self, events: Sequence[Event]) -> _Mail:
        first = events[0]
        sites = {self._context.site_of(event) for event in events}
        if len(events) == 1:
            title = f"{first.camera} {first.rule} {first.phase}"
        else:
            title = f"{len(events)} events, first {first.camera} {first.rule} {first.phase}"
        message = self._message(", ".join(sorted(sites)), title, events)
        lines = [readable(event) for event in events]
        pictures, missing = self._pictures(events)
        if missing:
            lines += ["", f"Without these pictures, as they are gone or too many: {missing}"]
        message.set_content("\n".join(lines) + "\n", cte="base64")
        for name, content in pictures:
            message.add_attachment(content, maintype="image", subtype="jpeg", filename=name)
        return _Mail(tuple(event.record_id for event in events), message.as_bytes())

    def _report(self, event: Event) -> _Mail:
        content, data = report_file(event, self._read), event.data
        site, title = str(data.get("site", self._context.site)), str(data.get("title", event.rule))
        message = self._message(site, f"{event.rule}, {title}", [event])
        lines = [f"{site}: {title}", "", f"The report is attached: {data.get('file')}"]
        if "made_up" in data:
            lines.append("It is late: at its time nothing was running that could have sent it.")
        message.set_content("\n".join(map(printable, lines)) + "\n", cte="base64")
        maintype, _, subtype = str(data.get("file_type")).partition(";")[0].partition("/")
        name = str(data.get("file"))
        message.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
        return _Mail((event.record_id,), message.as_bytes())

    def _message(self, site: str, title: str, events: Sequence[Event]) -> EmailMessage:
        words = {"site": site, "title": title}
        subject = _PLACEHOLDER.sub(lambda found: words[found[1]], self._config.subject)
        message = EmailMessage(AS_SENT.clone(cte_type="7bit"))
        message["From"] = self._config.from_address
        message["Subject"] = printable(subject)[:_SUBJECT]
        message["Date"] = formatdate(self._clock.now())
        domain = parseaddr(self._config.from_address)[1].rpartition("@")[2]
        name = re.sub(r"[^\w.-]", "_", events[0].record_id, flags=re.ASCII)
        count = f"-{len(events)}" if len(events) > 1 else ""
        message["Message-ID"] = f"<{name}{count}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        for event in events:
            message["X-Moonwatch-Id"] = printable(event.record_id)
        return message

    def _pictures(self, events: Sequence[Event]) -> tuple[list[tuple[str, bytes]], int]:
        """The pictures to attach, and how many more there were."""
        found: list[tuple[str, bytes]] = []
        missing, size = 0, 0
        for reference in dict.fromkeys(one for event in events for one in event.media):
            if not reference.endswith(".jpg"):
                continue
            content = self._read(reference) if len(found) < _PICTURES else None
            if content is None or size + len(content) > _PICTURES_BYTES:
                missing += 1
                continue
            size += len(content)
            found.append((printable(reference.rpartition("/")[2]), content))
        return found, missing

    def _tls_context(self) -> "ssl.SSLContext | None":
        import ssl

        import certifi

        if self._config.tls == "none":
            return None
        try:
            context = ssl.create_default_context(cafile=self._config.ca)
            if self._config.ca is None:
                # Lean containers come without authorities of their own.
                context.load_verify_locations(certifi.where())
        except OSError as error:
            raise SinkError(
                f"{self._place}: the file {self._config.ca} cannot be used: {error.strerror}",
                retryable=False,
            ) from error
        return context


class _Attempt:
    """One connection, in its own thread."""

    def __init__(self, sink: MailSink, wanted: Sequence[tuple[_Mail, str]]) -> None:
        self._sink = sink
        self._wanted = wanted
        self._client: smtplib.SMTP | None = None
        self._is_late = threading.Event()
        self.error: SinkError | None = None

    def abandon(self) -> None:
        """End it; it sends nothing more."""
        self._is_late.set()
        link = self._client.sock if self._client is not None else None
        if link is not None:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def run(self) -> None:
        """Connect, log in, and send all; the outcome is `error`."""
        import smtplib

        place = self._sink._place
        try:
            client = self._client = self._connected()
            try:
                self._greet(client)
                self._send(client)
            finally:
                client.close()
        except SinkError as error:
            self.error = error
        except smtplib.SMTPResponseException as error:
            # Before any event was named: not the event's fault, so it is kept.
            self.error = SinkError(f"{place} answers {_words(error.smtp_code, error.smtp_error)}")
        except smtplib.SMTPException as error:
            self.error = SinkError(f"{place} broke the connection off ({type(error).__name__})")
        except OSError as error:
            self.error = SinkError(f"{place} {_cause(error)}")
        except Exception as error:  # noqa: BLE001 - a thread's fault must be its attempt's
            self.error = SinkError(f"{place}: unexpected {type(error).__name__}; please report it")

    def _connected(self) -> "smtplib.SMTP":
        import smtplib

        sink, config = self._sink, self._sink._config
        # The deadline of the whole attempt comes first; this ends one that hangs in its own time.
        timeout_s = config.timeout.total_seconds() + _ENDING_S
        name = socket.gethostname()
        own = name if re.fullmatch(r"[\w-]+(\.[\w-]+)+", name, re.ASCII) else "[127.0.0.1]"
        if config.tls == "tls":
            return smtplib.SMTP_SSL(
                config.host, sink._port, own, timeout=timeout_s, context=sink._tls
            )
        return smtplib.SMTP(config.host, sink._port, own, timeout=timeout_s)

    def _greet(self, client: "smtplib.SMTP") -> None:
        import smtplib

        sink, config = self._sink, self._sink._config
        client.ehlo_or_helo_if_needed()
        if config.tls == "starttls":
            try:
                client.starttls(context=sink._tls)
            except smtplib.SMTPNotSupportedError:
                raise SinkError(
                    f"{sink._place} does not offer STARTTLS; write `tls: tls` if its port begins "
                    "with TLS"
                ) from None
            client.ehlo()
        if config.user is None or config.password is None:
            return
        try:
            client.login(config.user, config.password.reveal())
        except smtplib.SMTPNotSupportedError:
            raise SinkError(f"{sink._place} offers no login; leave out user and password") from None
        except smtplib.SMTPAuthenticationError as error:
            # Its words are not shown: they may repeat what was sent.
            raise SinkError(
                f"{sink._place} refuses the login ({error.smtp_code}); check user and password"
            ) from None

    def _send(self, client: "smtplib.SMTP") -> None:
        sink = self._sink
        sender = parseaddr(sink._config.from_address)[1]
        refused: list[str] = []
        passing: list[str] = []
        for mail, receiver in self._wanted:
            if self._is_late.is_set():
                return
            said = self._refusal(client, sender, mail, receiver)
            if said is None:
                sink._sent |= {(name, receiver): None for name in mail.ids}
                while len(sink._sent) > _REMEMBERED:
                    del sink._sent[next(iter(sink._sent))]
                continue
            code, words = said
            (refused if code >= _REFUSED_FOR_GOOD else passing).append(f"for {receiver} {words}")
        if passing or refused:
            raise SinkError(
                f"{sink._place} answers {'; '.join(dict.fromkeys(passing + refused))}",
                retryable=bool(passing),
            )
        client.quit()

    def _refusal(
        self, client: "smtplib.SMTP", sender: str, mail: _Mail, receiver: str
    ) -> tuple[int, str] | None:
        import smtplib

        addressed = f"To: {receiver}\r\n".encode() + mail.content
        try:
            client.sendmail(sender, [parseaddr(receiver)[1]], addressed)
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            return code, _words(code, words)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            return error.smtp_code, _words(error.smtp_code, error.smtp_error)
        return None


def _words(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {printable(without_secrets(' '.join(text.split())))[:200]}".strip()


def _cause(error: OSError) -> str:
    import ssl

    match error:
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return "does not speak TLS as asked; check `tls` and `port`"
        case TimeoutError():
            return "does not answer in time"
        case _:
            return f"cannot be reached: {error.strerror or type(error).__name__}"

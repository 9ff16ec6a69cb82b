"""One attempt to send a message through apprise, within its time and with the reason it failed."""

import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from connectors.sinks._pictures import JPEG, MediaFile, smaller
from connectors.sinks._text import printable
from pipeline.core.address import NotifyAddress, without_secrets
from pipeline.core.errors import SinkError

# What these answers mean will pass: too slow, too early, too many. All 5xx are of that kind too.
_PASSING = frozenset((408, 425, 429))
# Those that may be about the file that came along.
_ABOUT_FILES = frozenset((400, 406, 411, 413, 415, 422))
_LIGHT_SIDE, _LIGHT_BYTES = 640, 200_000
_SAID = 300
_HTTP_STATUS = re.compile(r"\b(?:error|status|code)\s*[=:]\s*(\d{3})\b", re.IGNORECASE)
# As smtplib words what a server answered.
_SMTP_STATUS = re.compile(r"\((\d{3}), b?['\"]")
_FORBIDDEN = (401, 403)
_NO_LOGIN = (530, 534, 535, 538)
_REFUSED_FOR_GOOD = 500

Kind = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message."""

    title: str
    body: str
    kind: Kind = "info"
    file: MediaFile | None = None


class MessageService:
    """A service of notifications. Each attempt has a client and a thread of its own."""

    def __init__(self, url: NotifyAddress, timeout_s: float) -> None:
        """SinkError for an address that apprise cannot use."""
        self._url, self._timeout_s = url, timeout_s
        self.place = f"the service {url.shown()}"
        with warnings.catch_warnings():
            # The first one imports all of apprise, and with it modules that Python 3.13 has not.
            warnings.simplefilter("ignore", DeprecationWarning)
            plugin = self._plugin()
        self.takes_files: bool = bool(plugin.attachment_support)

    def send(self, parcel: Parcel) -> None:
        """Send it; a file that is refused is sent smaller, and then left out, with a word on it.

        SinkError where the service does not accept it in time.
        """
        with _kept(parcel.file) as folder:
            attempt = _MessageAttempt(self, parcel, folder)
            # apprise sleeps between requests, and some services look names up without a limit: a
            # thread of its own ends with the deadline whatever it waits for.
            thread = threading.Thread(target=attempt.run, name="notify", daemon=True)
            thread.start()
            thread.join(self._timeout_s)
            if thread.is_alive():
                attempt.is_late.set()
                raise SinkError(
                    f"{self.place} did not accept the message within {self._timeout_s:g} s"
                )
        if attempt.error is not None:
            raise attempt.error

    def _plugin(self) -> Any:
        import apprise

        # Its lines quote addresses, and messages; what failed is read from what it returns.
        library = logging.getLogger("apprise")
        library.propagate = False
        library.setLevel(logging.DEBUG)
        # No pictures of other people's servers in the messages, no files but ours.
        asset = apprise.AppriseAsset(
            app_id="moonwatch",
            app_desc="moonwatch",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            secure_logging=True,
        )
        url = self._url.reveal()
        try:
            plugin: Any = apprise.Apprise.instantiate(url, asset=asset)
        except Exception:  # noqa: BLE001 - whatever a plugin makes of it; its words quote the URL
            plugin = None
        if plugin is None:
            raise SinkError(
                f"{self.place}: apprise cannot use this `url`; its page on "
                "https://appriseit.com/services/ says how the service's addresses look",
                retryable=False,
            )
        options = url.partition("?")[2]
        if "overflow=" not in options:
            plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
        if "rto=" not in options:
            plugin.socket_read_timeout = self._timeout_s
        return plugin

    def problem(self, entries: Sequence[Any]) -> tuple[SinkError, bool]:
        """Why apprise did not send a message, and whether that may be because of the file."""
        said = [str(one.message) for one in entries]
        loud = [
            str(one.message)
            for one in entries
            if one.level in ("WARNING", "ERROR", "CRITICAL") and not _is_about_itself(one.message)
        ]
        http = next((found[1] for text in loud if (found := _HTTP_STATUS.search(text))), None)
        exceptions = [text for text in said if "Exception:" in text[:40]]
        smtp = next((found[1] for text in exceptions if (found := _SMTP_STATUS.search(text))), None)
        if http is not None:
            status = int(http)
            passing = status in _PASSING or status >= 500
            why = f"answers {status}{_phrase(status)}"
            return self._error(why, retryable=passing), status in _ABOUT_FILES
        if smtp is not None:
            status = int(smtp)
            if status in _NO_LOGIN:
                return self._error(f"refuses the login ({status}); check its url", False), False
            words = next(text for text in exceptions if _SMTP_STATUS.search(text))
            why = f"answers {self._redacted(words.partition('Exception:')[2])}"
            passing = status < _REFUSED_FOR_GOOD
            return self._error(why, retryable=passing), not passing
        reason = _cause(" ".join(exceptions))
        if reason is not None:
            return self._error(reason), False
        if any("attachment" in text.lower() for text in loud):
            return self._error(f"did not take the file: {self._redacted(' '.join(loud))}"), True
        words = self._redacted("; ".join(loud)) or "no reason was given"
        is_connection = any("connection error" in text.lower() for text in loud)
        why = "cannot be reached" if is_connection else f"did not accept it: {words}"
        return self._error(why), not is_connection

    def _error(self, why: str, retryable: bool = True) -> SinkError:
        return SinkError(f"{self.place} {why}", retryable=retryable)

    def _redacted(self, text: str) -> str:
        plain = printable(" ".join(text.split()))
        return without_secrets(plain, also=self._url.parts())[:_SAID]


class _MessageAttempt:
    """One message, in its own thread."""

    def __init__(self, service: MessageService, parcel: Parcel, folder: Path | None) -> None:
        self._service, self._parcel, self._folder = service, parcel, folder
        self.is_late = threading.Event()
        self.error: SinkError | None = None

    def run(self) -> None:
        """Send it, as it is or lighter; the outcome is `error`."""
        try:
            for file, note in self._versions():
                if self.is_late.is_set():
                    return
                failed = self._sent(file, note)
                if failed is None:
                    self.error = None
                    return
                self.error, is_about_file = failed
                if not is_about_file:
                    return
        except Exception as error:  # noqa: BLE001 - a thread's fault must be its attempt's
            kind = type(error).__name__
            self.error = SinkError(f"{self._service.place}: an unexpected {kind}")

    def _versions(self) -> Iterator[tuple[MediaFile | None, str]]:
        file = self._parcel.file
        yield file, ""
        if file is None:
            return
        if file.media_type == JPEG:
            light = smaller(file, _LIGHT_SIDE, _LIGHT_BYTES)
            if light is not None and len(light.content) < len(file.content):
                yield light, ""
        yield None, "the service refuses the file, so this is sent without"

    def _sent(self, file: MediaFile | None, note: str) -> tuple[SinkError, bool] | None:
        """None once it is accepted; else why it was not."""
        import apprise
        from apprise.attachment.file import AttachFile

        attached = None
        if file is not None and self._folder is not None:
            path = self._folder / re.sub(r"[^\w.-]", "_", file.name, flags=re.ASCII)[-120:]
            path.write_bytes(file.content)
            attached = AttachFile(  # type: ignore[no-untyped-call]
                path=str(path), name=path.name, mimetype=file.media_type
            )
        client = apprise.Apprise()
        client.add(self._service._plugin())
        body = f"{self._parcel.body}\n({note})" if note else self._parcel.body
        with client.notify(
            title=self._parcel.title,
            body=body,
            notify_type=apprise.NotifyType(self._parcel.kind),
            body_format=apprise.NotifyFormat.TEXT,
            attach=attached,
            interpret_escapes=False,
            log_level=logging.DEBUG,
        ) as result:
            if result:
                return None
            error, is_about_file = self._service.problem(list(result.logs()))
        return error, is_about_file and file is not None


@contextmanager
def _kept(file: MediaFile | None) -> Iterator[Path | None]:
    """A folder that only we can read, for as long as the attempt lasts."""
    if file is None:
        yield None
        return
    try:
        folder = TemporaryDirectory(prefix="moonwatch-notify-", ignore_cleanup_errors=True)
    except OSError as error:
        raise SinkError(
            f"the picture cannot be written to the folder for temporary files: {error.strerror}"
        ) from error
    with folder as name:
        yield Path(name)


def _is_about_itself(text: str) -> bool:
    """Whether apprise says only that something failed."""
    return "raised an exception" in text


def _phrase(status: int) -> str:
    try:
        words = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        words = ""
    if status in _FORBIDDEN:
        return f"{words}; check its url"
    return words


def _cause(text: str) -> str | None:
    """What the words of a library mean that quote addresses, where that can be told."""
    low = text.lower()
    if "certificate" in low:
        return "has a certificate that is not trusted"
    if "name or service not known" in low or "failed to resolve" in low or "getaddrinfo" in low:
        return "cannot be reached: its name cannot be looked up"
    if "timed out" in low or "timeout" in low:
        return "does not answer in time"
    found = re.search(r"\[Errno -?\d+\] ([A-Za-z ]+)", text)
    if found is not None:
        return f"cannot be reached: {found[1].strip()}"
    if "connection aborted" in low or "disconnected" in low or "unexpectedly closed" in low:
        return "broke the connection off"
    return None

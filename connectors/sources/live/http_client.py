"""The one door to httpx: asks a camera for something, and turns every error into a SourceError.

Speaks to httpx's transport instead of its client, because the client logs the whole address of
each request, and cameras have passwords in theirs.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from connectors.sources.failures import diagnose, failure
from connectors.sources.live.reader import CameraPlace
from pipeline.core.errors import SourceFailure

if TYPE_CHECKING:
    import httpx

_STATUS = {
    401: SourceFailure.UNAUTHORISED,
    403: SourceFailure.UNAUTHORISED,
    404: SourceFailure.NOT_FOUND,
    410: SourceFailure.NOT_FOUND,
}
_UNAUTHORISED = 401
_OK = 200
_REDIRECTS = range(300, 400)
# No still picture is larger.
_MOST_BYTES = 64 * 1024 * 1024
_PORTS = {"http": 80, "https": 443}


class Connection:
    """A camera's web server and our login there; Basic or Digest, as it asks."""

    def __init__(
        self, url: str, login: tuple[str, str] | None, place: CameraPlace, verify: bool
    ) -> None:
        import httpx

        self._url = httpx.URL(url)
        self._login = login
        self._place = place
        self._auth = httpx.Auth()
        self._transport = httpx.HTTPTransport(verify=verify)
        self._answer: Answer | None = None

    def get(self) -> "Answer":
        """Ask, and return the answer once its head is there; raises SourceError."""
        if self._answer is not None:
            self._answer.close()
        response = self._send()
        if response.status_code == _UNAUTHORISED and self._login is not None:
            asked = response.headers.get("www-authenticate", "")
            response.close()
            self._auth = _auth(asked, *self._login)
            response = self._send()
        self._answer = Answer(response, self._place)
        self._check(response)
        return self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()
        self._transport.close()

    def _send(self) -> "httpx.Response":
        import httpx

        place = self._place
        timeout = httpx.Timeout(place.read_s, connect=place.open_s).as_dict()
        request = httpx.Request(
            "GET",
            self._url,
            headers={"User-Agent": "moonwatch", "Accept": "*/*"},
            extensions={"timeout": timeout},
        )
        flow = self._auth.sync_auth_flow(request)
        request = next(flow)
        try:
            while True:
                response = self._transport.handle_request(request)
                response.request = request
                try:
                    request = flow.send(response)
                except StopIteration:
                    return response
                response.close()
        except httpx.HTTPError as error:
            reason = _reason(error)
        if reason is SourceFailure.UNREACHABLE:
            port = self._url.port or _PORTS[self._url.scheme]
            reason = diagnose(self._url.host, port, place.open_s) or SourceFailure.BROKEN
        raise failure(reason, place.name)

    def _check(self, response: "httpx.Response") -> None:
        status, place = response.status_code, self._place.name
        if status in _REDIRECTS:
            raise failure(
                SourceFailure.UNSUPPORTED,
                place,
                f"redirects to another address ({status}); use that one",
            )
        if status in _STATUS:
            raise failure(_STATUS[status], place)
        if status != _OK:
            raise failure(SourceFailure.BROKEN, place, f"answers with HTTP status {status}")


class Answer:
    """What came back: its kind at once, its content as it arrives."""

    def __init__(self, response: "httpx.Response", place: CameraPlace) -> None:
        self._response = response
        self._place = place

    @property
    def content_type(self) -> str:
        """As the server calls it; empty when it says nothing."""
        return str(self._response.headers.get("content-type", ""))

    def chunks(self) -> Iterator[bytes]:
        """The content, piece by piece, until it ends; raises SourceError."""
        import httpx

        try:
            yield from self._response.iter_bytes()
        except httpx.TimeoutException:
            raise self._place.late(opened=True) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise failure(_reason(error), self._place.name) from None

    def whole(self) -> bytes:
        """All of the content; raises SourceError."""
        content = bytearray()
        for chunk in self.chunks():
            content += chunk
            if len(content) > _MOST_BYTES:
                words = "sends no end of data; is it a stream?"
                raise failure(SourceFailure.UNSUPPORTED, self._place.name, words)
        return bytes(content)

    def close(self) -> None:
        """Let go of it, read or not."""
        self._response.close()


def _auth(asked: str, username: str, password: str) -> "httpx.Auth":
    import httpx

    kind = httpx.DigestAuth if re.search(r"(?i)\bdigest\b", asked) else httpx.BasicAuth
    return kind(username, password)


def _reason(error: "httpx.HTTPError | httpx.StreamError") -> SourceFailure:
    import httpx

    table: tuple[tuple[type[Exception], SourceFailure], ...] = (
        (httpx.TimeoutException, SourceFailure.TIMEOUT),
        (httpx.ConnectError, SourceFailure.UNREACHABLE),
        (httpx.UnsupportedProtocol, SourceFailure.UNSUPPORTED),
        (httpx.NetworkError, SourceFailure.ENDED),
        (httpx.RemoteProtocolError, SourceFailure.ENDED),
    )
    return next((why for kind, why in table if isinstance(error, kind)), SourceFailure.BROKEN)

"""Serves the files behind signed links: whole or in part, for players that seek."""

import hashlib
import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from pipeline.core.errors import StoreError
from pipeline.core.sinks import ReadsFile
from pipeline.delivery.links import LinkOverError, MediaLinks, NoSuchLinkError
from pipeline.telemetry.http import HttpPage

_KINDS: Final = {
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
    ".pdf": "application/pdf",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
_OTHER = "application/octet-stream"
# No script, no form, nothing from elsewhere: it is what a report needs.
_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class MediaPages:
    """Answers requests for `/media/...`."""

    def __init__(self, links: MediaLinks, read: ReadsFile) -> None:
        self._links, self._read = links, read

    def page(self, path: str, headers: Mapping[str, str]) -> HttpPage:
        """The answer to a request; `headers` have names in small letters."""
        try:
            reference = self._links.reference(path)
        except NoSuchLinkError as error:
            return _sentence(HTTPStatus.NOT_FOUND, str(error))
        except LinkOverError as error:
            return _sentence(HTTPStatus.GONE, str(error))
        except StoreError:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, "the store is out of reach just now")
        try:
            content = self._read(reference)
        except StoreError:
            return _sentence(HTTPStatus.SERVICE_UNAVAILABLE, "the file cannot be read just now")
        if content is None:
            return _sentence(
                HTTPStatus.NOT_FOUND,
                "the file is not there: a clip is ready some seconds after its event, and what is "
                "old is deleted",
            )
        return file_page(reference, content, headers)


def file_page(reference: str, content: bytes, headers: Mapping[str, str]) -> HttpPage:
    """A file, whole or the part that is asked for; `headers` have names in small letters."""
    name = reference.rpartition("/")[2]
    kind = _KINDS.get(name[name.rfind(".") :], _OTHER)
    tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    own = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Date": formatdate(usegmt=True),
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f'inline; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", name)}"',
        "Content-Security-Policy": _POLICY,
        **_EVERYWHERE,
    }
    size = len(content)
    wanted = _wanted(headers, tag, size)
    if wanted is None:
        return HttpPage(HTTPStatus.OK, content, kind, own)
    first, last = wanted
    if first > last:
        sentence = f"the file has {size} bytes\n".encode()
        own |= {"Content-Range": f"bytes */{size}", "Cache-Control": "no-store"}
        kind = "text/plain; charset=utf-8"
        return HttpPage(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, sentence, kind, own)
    own["Content-Range"] = f"bytes {first}-{last}/{size}"
    return HttpPage(HTTPStatus.PARTIAL_CONTENT, content[first : last + 1], kind, own)


def _wanted(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that are asked for; None for the whole, first > last for nothing.

    Of several ranges, and of those of another content, the whole is sent, as HTTP allows.
    """
    found = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if found is None or headers.get("if-range", tag) != tag or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), (size - 1 if int(found[2]) else -1)
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if found[2] and int(found[2]) < first:
        return None
    return first, last


_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


def _sentence(status: HTTPStatus, sentence: str) -> HttpPage:
    headers = {"Cache-Control": "no-store", **_EVERYWHERE}
    return HttpPage(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8", headers)

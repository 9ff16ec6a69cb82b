"""Buckets of Google and Azure: what is asked of them over HTTP, and that it is found again."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from connectors.stores.buckets import BucketMediaStore
from connectors.stores.files import ForgottenPictures
from connectors.stores.media import S3MediaConfig
from pipeline.core.errors import StoreError
from pipeline.core.store import PictureRecord

REFERENCE = "door/2026-05-28/a.jpg"
KEY = "c2VjcmV0LWtleS1vZi1hbi1hY2NvdW50"
_MODIFIED = "Thu, 28 May 2026 12:00:00 GMT"
_DELETED = re.compile(r"^DELETE (\S+) HTTP", re.MULTILINE)


class Objects(BaseHTTPRequestHandler):
    """Keeps what is put, with its metadata, as both clouds do."""

    protocol_version = "HTTP/1.1"
    kept: ClassVar[dict[str, tuple[bytes, dict[str, str]]]] = {}

    def do_PUT(self) -> None:
        """Keep an object."""
        told = {
            name: value
            for name, value in self.headers.items()
            if name.lower().startswith(("x-ms-meta-", "x-goog-meta-"))
        }
        self.kept[self._name] = self._body(), told
        self._answer(201, ETag='"1"')

    def do_GET(self) -> None:
        """Tell an object."""
        found = self.kept.get(self._name)
        if found is None:
            self._answer(404)
            return
        body, told = found
        self._answer(200, body, ETag='"1"', Last_Modified=_MODIFIED, **told)

    def do_HEAD(self) -> None:
        """Tell what is known of an object."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """Google's way to delete."""
        self.kept.pop(self._name, None)
        self._answer(202)

    def do_POST(self) -> None:
        """Azure's: several deletions at once, each with an answer of its own."""
        parts = []
        for nth, path in enumerate(_DELETED.findall(self._body().decode())):
            ending = unquote(path.partition("?")[0])
            for one in [one for one in self.kept if one.endswith(ending)]:
                del self.kept[one]
            head = f"--b\r\nContent-Type: application/http\r\nContent-ID: {nth}\r\n\r\n"
            parts.append(f"{head}HTTP/1.1 202 Accepted\r\nx-ms-request-id: {nth}\r\n\r\n")
        answer = "".join([*parts, "--b--\r\n"]).encode()
        self._answer(202, answer, Content_Type="multipart/mixed; boundary=b")

    @property
    def _name(self) -> str:
        return unquote(self.path.partition("?")[0])

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def objects_server() -> Iterator[str]:
    """The address of an empty one."""
    Objects.kept.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Objects)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def media_of(
    cloud: str, endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> BucketMediaStore:
    """A bucket of this cloud, at this address instead of its own."""
    settings = {"type": "s3", "url": f"{cloud}://shop/eye", "endpoint": endpoint, "timeout": "5s"}
    if cloud == "az":
        settings |= {"endpoint": f"{endpoint}/acme", "access_key": "acme", "secret_key": KEY}
    else:
        account = folder / "account.json"
        key = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        account.write_text(json.dumps({"gcs_base_url": endpoint, **key}))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    return BucketMediaStore(S3MediaConfig.model_validate(settings), folder / "here")


@pytest.mark.parametrize(("cloud", "place"), [("gs", "/shop/eye/"), ("az", "/acme/shop/eye/")])
def test_what_is_kept_is_found_and_deleted(
    tmp_path: Path, cloud: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the prefix, with the digest by which it is known as moonwatch's own."""
    digest = hashlib.sha256(b"hello").hexdigest()
    kept = Objects.kept
    with objects_server() as endpoint:
        media = media_of(cloud, endpoint, tmp_path, monkeypatch)
        media.put(REFERENCE, b"hello")
        assert [*kept] == [f"{place}{REFERENCE}"]
        assert media.read(REFERENCE) == b"hello"
        assert media.size(REFERENCE) == 5
        assert media.read("door/2026-05-28/none.jpg") is None
        other = PictureRecord(REFERENCE, "0" * 64, 5, media.where)
        done = ForgottenPictures()
        media.delete(REFERENCE, [other], done)
        assert (done.pictures, done.left_alone, len(kept)) == (0, 1, 1)
        media.delete(REFERENCE, [PictureRecord(REFERENCE, digest, 5, media.where)], done)
        assert (done.pictures, kept) == (1, {})


@pytest.mark.parametrize("cloud", ["gs", "az"])
def test_a_cloud_that_is_out_of_reach_is_named(
    tmp_path: Path, cloud: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word of its key."""
    with objects_server() as endpoint:
        media = media_of(cloud, endpoint, tmp_path, monkeypatch)
    with pytest.raises(StoreError, match=rf"{cloud}://shop/eye: .*cannot be reached") as told:
        media.put(REFERENCE, b"lost")
    assert KEY not in str(told.value)

"""A small real server that speaks the part of the Hugging Face protocol that files need."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from pipeline.testing import patience


@dataclass
class Hub:
    """What the server has, `files[repo, revision][path]`, and what it was asked for.

    `commits` says which commit a tag or branch is at; a made-up one unless it is given.
    """

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub on a free port of this host until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, *, body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            repo, _, rest = unquote(self.path).lstrip("/").partition("/resolve/")
            revision, _, path = rest.partition("/")
            content = hub.files.get((repo, revision), {}).get(path)
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", _missing(hub, repo, revision))
                self.send_header("X-Repo-Commit", _commit(hub, revision))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", _commit(hub, revision))
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join(timeout=patience(5))
        server.server_close()


def _commit(hub: Hub, revision: str) -> str:
    if revision in hub.commits:
        return hub.commits[revision]
    is_commit = len(revision) == 40 and set(revision) <= set("0123456789abcdef")
    return revision if is_commit else hashlib.sha1(revision.encode()).hexdigest()


def _missing(hub: Hub, repo: str, revision: str) -> str:
    if not any(known == repo for known, _ in hub.files):
        return "RepoNotFound"
    return "EntryNotFound" if (repo, revision) in hub.files else "RevisionNotFound"

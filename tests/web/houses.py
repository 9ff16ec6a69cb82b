"""The application with its real doors, for tests of who may do what."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import httpx
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.people import Person, Role, TokenRecord, TokenScope
from pipeline.testing import patience
from pipeline.web.access import passwords, secret_texts
from pipeline.web.run import WebServer, open_state
from pipeline.web.state import WebState
from tests.web.applications import CERTIFICATES

# As in earnest, but not as slow: a test of its own takes the costs that are meant.
_QUICK = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
PASSWORD = "three green boats upriver"
_HASH = ""
FILE = """
version: 1
site: {name: Shop, timezone: Europe/Berlin}
store: {url: "sqlite:///FOLDER/moonwatch.db"}
cameras:
  door:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
    lines: {sill: {from: [0.5, 0.1], to: [0.5, 0.9]}}
    rules: {in: {type: line_crossing, of: people, line: sill}}
  till:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
"""


def shop_file(folder: Path, more: str = "") -> Path:
    """A deployment with the cameras `door` and `till`, in a folder of its own."""
    path = folder / "shop.yaml"
    path.write_text(FILE.replace("FOLDER", str(folder)) + more)
    return path


@dataclass
class House:
    """A running application with real doors, and clients that tests have opened."""

    url: str
    state: WebState
    clients: ExitStack = field(default_factory=ExitStack)

    def stranger(self, headers: Mapping[str, str] | None = None) -> httpx.Client:
        """Somebody's browser, as far as headers make one; not signed in."""
        sent = {"X-Moonwatch": "1", **(headers or {})}
        client = httpx.Client(
            base_url=f"{self.url}/api/v1", timeout=patience(20), headers=sent, verify=CERTIFICATES
        )
        return self.clients.enter_context(client)

    def person(
        self,
        name: str,
        role: Role,
        cameras: tuple[str, ...] | None = None,
        made_at: float | None = None,
    ) -> None:
        """Make a user, with the password of all of them."""
        global _HASH
        _HASH = _HASH or passwords.hash_of(PASSWORD)
        made_at = self.state.clock.now() if made_at is None else made_at
        assert self.state.store.people.add_person(Person(name, _HASH, role, cameras, made_at))

    def signed_in(
        self, name: str, role: Role = Role.VIEWER, cameras: tuple[str, ...] | None = None
    ) -> httpx.Client:
        """The browser of a new user."""
        self.person(name, role, cameras)
        client = self.stranger()
        assert sign_in(client, name).status_code == 200
        return client

    def program(
        self, name: str, *scopes: TokenScope, cameras: tuple[str, ...] | None = None
    ) -> httpx.Client:
        """A program with a token."""
        text = secret_texts.TOKEN_PREFIX + secret_texts.new_text()
        digest, now = secret_texts.digest_of(text), self.state.clock.now()
        token = TokenRecord(name, digest, name, scopes, "the test", now, cameras)
        assert self.state.store.people.add_token(token)
        bearer = {"Authorization": f"Bearer {text}"}
        client = httpx.Client(
            base_url=f"{self.url}/api/v1", timeout=patience(20), headers=bearer, verify=CERTIFICATES
        )
        return self.clients.enter_context(client)


@contextmanager
def house(
    file: Path, *overrides: str, clock: Clock | None = None, listen: str = "127.0.0.1:0"
) -> Iterator[House]:
    """The application of a deployment file, over real HTTP, with real doors."""
    with (
        patch.object(passwords, "_hasher", lambda: _QUICK),
        _at_work(file, overrides, clock, listen) as opened,
    ):
        yield opened


@contextmanager
def _at_work(
    file: Path, overrides: Sequence[str], clock: Clock | None, listen: str
) -> Iterator[House]:
    state = open_state(file, overrides, clock or SystemClock())
    try:
        server = WebServer(state, listen)
        server.start()
        try:
            with ExitStack() as clients:
                yield House(server.address, state, clients)
        finally:
            server.stop()
    finally:
        state.store.close()


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    """Sign in by name and password."""
    return client.post("/session", json={"name": name, "password": password})

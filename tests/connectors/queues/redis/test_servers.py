"""The Redis queue against real servers of every form: TLS, ACL users, Sentinel, Cluster."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.errors import QueueError
from pipeline.testing import wait_until
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built
from tests.contracts.queue_tools import (
    ENGINE,
    SOON_S,
    a_job,
    answer,
    named,
)
from tests.redis_server import Server, binary, full_binary

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason="no redis-server to start"),
]
program = tools._program
PREFIX = "test-forms"
PASSWORD = "s3cret/p@ss:w%rd"
PASSWORD_IN_URL = "s3cret%2Fp%40ss%3Aw%25rd"


def works(queues: RedisQueues) -> None:
    """A job goes all the way round: put, claimed, answered, taken, acknowledged."""
    try:
        queues.jobs.put(a_job(live=True), 0)
        claims = queues.jobs.claim(ENGINE, 9, SOON_S)
        assert named(claims) == [("door", 0)]
        answer(queues, claims)
        taken = queues.results.take(9, SOON_S)
        queues.results.acknowledge(taken)
        assert [one.result.ordinal for one in taken] == [0]
        assert queues.results.take(9, 0) == []
    finally:
        queues.close()


@dataclass(frozen=True)
class Started:
    """Servers of one program that a test starts, ended after it."""

    program: str | None
    servers: list[Server] = field(default_factory=list)

    def add(self, *options: str, is_sentinel: bool = False) -> Server:
        """A server that does not run yet."""
        server = Server(options, program=self.program, is_sentinel=is_sentinel)
        self.servers.append(server)
        return server

    def start(self, *options: str) -> Server:
        """A server that keeps nothing."""
        return self.add("--save", "", *options).start()


@pytest.fixture(name="started")
def _started(program: str | None) -> Iterator[Started]:
    started = Started(program)
    yield started
    for server in started.servers:
        server.close()


@pytest.fixture(scope="module", name="certificates")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """An authority, and a certificate of it for server and client alike."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*new, "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(*new, "-subj", "/CN=localhost", "-keyout", "own.key", "-out", "own.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    sign = ("x509", "-req", "-in", "own.csr", "-CA", "ca.crt", "-CAkey", "ca.key")
    openssl(*sign, "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "own.crt")
    return {name: folder / name for name in ("ca.crt", "own.crt", "own.key")}


@pytest.fixture(name="tls")
def _tls(certificates: Mapping[str, Path]) -> Iterator[Server]:
    """A server that talks TLS alone, to clients with a certificate alone."""
    full = full_binary()
    if full is None:
        pytest.skip("no redis-server that knows TLS; Debian's package does")
    server = Server(program=full)
    server.options = (
        *("--save", "", "--tls-port", str(server.port), "--tls-auth-clients", "yes"),
        *("--tls-ca-cert-file", str(certificates["ca.crt"])),
        *("--tls-cert-file", str(certificates["own.crt"])),
        *("--tls-key-file", str(certificates["own.key"])),
    )
    yield server.start()
    server.close()


def test_tls_with_a_client_certificate(tls: Server, certificates: Mapping[str, Path]) -> None:
    """`rediss` with CA, certificate and key works."""
    works(
        built(
            f"rediss://127.0.0.1:{tls.port}/0",
            PREFIX,
            ca=certificates["ca.crt"],
            certificate=certificates["own.crt"],
            key=certificates["own.key"],
        )
    )


@pytest.mark.parametrize(
    ("scheme", "trusted"),
    [
        ("rediss", False),  # a server that nobody vouches for
        ("rediss", True),  # a client without a certificate
        ("redis", False),  # no TLS at all
    ],
)
def test_tls_that_does_not_fit_is_out_of_reach(
    tls: Server, certificates: Mapping[str, Path], scheme: str, trusted: bool
) -> None:
    """One sentence, within the deadline."""
    keys = {"ca": certificates["ca.crt"]} if trusted else {}
    queues = built(f"{scheme}://127.0.0.1:{tls.port}/0", PREFIX, timeout="1s", **keys)
    with pytest.raises(QueueError, match=f"redis at 127.0.0.1:{tls.port} is out of reach"):
        queues.jobs.ping()
    queues.close()


def with_user(server: Server, *rules: str) -> None:
    """Give the server a user `moon`, and leave nothing to others."""
    client = server.client()
    client.execute_command("ACL", "SETUSER", "moon", "on", f">{PASSWORD}", *rules)
    client.execute_command("ACL", "SETUSER", "default", "off")
    client.close()


def test_an_acl_user_needs_these_rights_alone(started: Started) -> None:
    """Keys of the prefix; scripts, and the commands in them."""
    server = started.start()
    with_user(
        server,
        *("resetkeys", f"~{{{PREFIX}}}*", "-@all", "+@read", "+@write", "+@scripting"),
        *("+@connection", "+time", "-@dangerous"),
    )
    works(built(f"redis://moon:{PASSWORD_IN_URL}@127.0.0.1:{server.port}/0", PREFIX))
    works(built(server.url, PREFIX, username="moon", password=PASSWORD))


@pytest.mark.parametrize("password", [None, "another"])
def test_a_login_that_is_not_accepted_is_said(
    started: Started, caplog: pytest.LogCaptureFixture, password: str | None
) -> None:
    """It is the login and not the way there, also where the first command is a large one."""
    server = started.start()
    server.client().config_set("requirepass", PASSWORD)
    queues = built(server.url, PREFIX, password=password)
    for ask in (queues.jobs.ping, lambda: queues.jobs.put(a_job(), 0)):
        with pytest.raises(QueueError, match=r"does not let us in: .*; check .*password"):
            ask()
    assert len(caplog.records) == 1
    assert PASSWORD not in caplog.text
    queues.close()
    large = built(server.url, PREFIX, password=password)
    with pytest.raises(QueueError, match="does not let us in"):
        large.jobs.put(a_job(), 0)
    large.close()


def test_a_user_without_rights_is_told_so_once(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal names the command, hands out nothing and hides the login."""
    server = started.start()
    with_user(server, "resetkeys", "~other*", "+@all")
    queues = built(server.url, PREFIX, username="moon", password=PASSWORD)
    for _ in range(3):
        assert queues.jobs.claim(ENGINE, 1, 0) == []
    with pytest.raises(QueueError, match="refuses put: "):
        queues.jobs.put(a_job(), 0)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert PASSWORD not in str(said)
    queues.close()


@pytest.mark.parametrize(
    "login",
    [
        {"username": "moon", "password": "wr0ng-s3cret"},
        {"password": "wr0ng-s3cret"},
        {},
    ],
)
def test_a_wrong_login_is_said_without_it(started: Started, login: dict[str, str]) -> None:
    """The sentence, its cause and the queue's own words show no password."""
    server = started.start("--requirepass", PASSWORD)
    queues = built(server.url, PREFIX, **login)
    with pytest.raises(QueueError) as refused:
        queues.jobs.ping()
    assert f"redis at 127.0.0.1:{server.port}" in str(refused.value)
    assert "s3cret" not in f"{refused.value!r} {refused.value.__cause__!r} {queues!r}"
    queues.close()


def test_a_password_without_a_user(started: Started) -> None:
    """As servers before ACLs want it, in the URL or beside it."""
    server = started.start("--requirepass", PASSWORD)
    works(built(f"redis://:{PASSWORD_IN_URL}@127.0.0.1:{server.port}", PREFIX))


def test_a_sentinel_leads_to_the_server_and_to_its_heir(started: Started) -> None:
    """Through a Sentinel with a login; when the server dies, its replica takes over by itself."""
    first = started.start(
        *("--requirepass", PASSWORD, "--masterauth", PASSWORD),
        *("--repl-diskless-sync-delay", "0"),  # Valkey waits five seconds for others
    )
    second = started.start(
        *("--requirepass", PASSWORD, "--masterauth", PASSWORD),
        *("--replicaof", "127.0.0.1", str(first.port)),
    )
    sentinel = started.add(is_sentinel=True)
    (sentinel.folder / "sentinel.conf").write_text(
        f"port {sentinel.port}\n"
        f"requirepass sentinel-{PASSWORD}\n"
        f"sentinel monitor shop 127.0.0.1 {first.port} 1\n"
        f'sentinel auth-pass shop "{PASSWORD}"\n'
        "sentinel down-after-milliseconds shop 300\n"
        "sentinel failover-timeout shop 2000\n"
    )
    sentinel.start()
    queues = built(
        f"redis+sentinel://:{PASSWORD_IN_URL}@127.0.0.1:{sentinel.port}/shop",
        PREFIX,
        sentinel_password=f"sentinel-{PASSWORD}",
        timeout="1s",
    )
    queues.jobs.put(a_job(), 0)
    replica = second.client(PASSWORD)
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
    watcher = sentinel.client(f"sentinel-{PASSWORD}")
    wait_until(lambda: len(watcher.execute_command("SENTINEL", "REPLICAS", "shop")) == 1, 20)
    wait_until(lambda: replica.keys(f"{{{PREFIX}}}:lane:*") != [])
    first.kill()
    wait_until(lambda: len(queues.jobs.claim(ENGINE, 1, 0.1)) == 1, 30)
    queues.close()


def test_a_cluster_holds_a_deployment_on_one_of_its_nodes(started: Started) -> None:
    """All keys of a prefix share a slot, so that scripts work; prefixes spread over the nodes."""
    nodes = [started.start("--cluster-enabled", "yes") for _ in range(3)]
    clients = [node.client() for node in nodes]
    bounds = (0, 5461, 10923, 16384)
    for client, low, high in zip(clients, bounds, bounds[1:], strict=False):
        client.execute_command("CLUSTER", "ADDSLOTS", *range(low, high))
    for node in nodes[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)

    def is_whole(client: Any) -> bool:
        told = client.execute_command("CLUSTER", "INFO")
        return b"cluster_state:ok" in told and b"cluster_known_nodes:3" in told

    wait_until(lambda: all(map(is_whole, clients)), 30)
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:2])
    for prefix in ("one", "two", "three", "four"):
        works(built(f"redis+cluster://{hosts}", prefix))
    found = {
        prefix: [bool(client.keys(f"{{{prefix}}}*")) for client in clients].count(True)
        for prefix in ("one", "two", "three", "four")
    }
    assert found == dict.fromkeys(found, 1)
    assert sum(bool(client.keys("*")) for client in clients) > 1

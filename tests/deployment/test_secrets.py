"""No credential is in any key, value, log, metric, answer or error, and nothing is unpickled."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis

from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import modules
from tests.cli.commands import moonwatch
from tests.connectors.sinks.receiver import receiving
from tests.connectors.sources.servers import free_port, http_camera
from tests.connectors.sources.test_http import basic
from tests.redis_server import Server, binary
from tests.runtime.clips import camera, deployment, written
from tests.runtime.fleet import Fleet, wait_for

CAMERA, WRONG, REDIS, TOKEN = "/camEra-7Q?é", "@wrOng#8R:", "reDis@9S/%41", "toKen=3T&x"
# A piece of each that stands nowhere else, and one of the receiver's path.
SECRETS = ("camEra-7Q", "wrOng", "reDis", "toKen", "s3cret")


@pytest.fixture
def server() -> Iterator[Server]:
    """A Redis with a password."""
    if binary() is None:
        pytest.skip("no redis-server")
    server = Server(("--save", "", "--requirepass", REDIS)).start()
    yield server
    server.close()


def everything_in(server: Server) -> bytes:
    """Every key of a Redis with all that it holds."""
    client: Any = redis.Redis(port=server.port, password=REDIS)
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }
    said = [(key, readers[client.type(key)](key)) for key in client.keys("*") if client.exists(key)]
    client.close()
    assert len(said) > 5
    return repr(said).encode()


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_secret_is_anywhere(tmp_path: Path, server: Server) -> None:
    """After cameras with right and wrong passwords, a sink that refuses, and a Redis that goes."""
    ports = [free_port() for _ in range(4)]
    stages = ("deliver", "process", "infer", "sample")
    with receiving() as hook, http_camera(basic(f"admin:{CAMERA}")) as url:
        hook.always = 500
        host = url.removeprefix("http://")
        cameras = {}
        for name, password in (("door", CAMERA), ("yard", WRONG)):
            source = {
                "type": "http",
                "url": f"http://admin:{quote(password, safe='')}@{host}",
                "poll": "100ms",
            }
            cameras[name] = camera(tmp_path, every="200ms") | {"source": source}
        answers = {"people": [[[0.4, 0.4, 0.6, 0.9], [0.4, 0.5, 0.6, 0.9]]]}
        made = deployment(
            tmp_path,
            cameras,
            engines={"fake": {"type": "scripted", "answers": answers}},
            queue={
                "type": "redis",
                "url": f"redis://:{quote(REDIS, safe='')}@127.0.0.1:{server.port}/0",
            },
        )
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        made["sinks"] = {"hook": {"type": "webhook", "url": hook.url, "headers": bearer}}
        file = written(tmp_path, made)
        options = {stage: ("--http", f":{port}") for stage, port in zip(stages, ports, strict=True)}
        fleet = Fleet(file, server, stages, options).start()
        try:
            wait_for(lambda: len(hook.requests) > 0, 60, fleet.said)
            said = [everything_in(server), metrics(ports)]
            said += [text.encode() for text in moonwatch("status", file, "--json")[1:]]
            said += [text.encode() for text in moonwatch("explain", file)[1:]]
            server.kill()
            wait_until(lambda: "out of reach" in fleet.members["sample3"].said(), within_s=30)
            said += [text.encode() for text in moonwatch("status", file)[1:]]
            said += [
                httpx.get(f"http://127.0.0.1:{p}/readyz", timeout=patience(10)).content
                for p in ports
            ]
        finally:
            fleet.stop()
            fleet.kill_all()
        said += [fleet.said().encode(), (tmp_path / "events.db").read_bytes()]
    found = {secret for secret in SECRETS for text in said if secret.encode() in text}
    assert not found
    assert b"unauthorised" in b"".join(said)


def metrics(ports: list[int]) -> bytes:
    """What all processes tell Prometheus."""
    return b"".join(httpx.get(f"http://127.0.0.1:{p}/metrics").content for p in ports)


def test_nothing_is_unpickled() -> None:
    """No module of ours imports what runs code on reading, nor asks a library to."""
    dangerous = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
    imported = {
        f"{module.name}: {name}"
        for module in modules()
        for node in ast.walk(module.tree)
        for name in _imported(node)
        if name.split(".")[0] in dangerous
    }
    assert imported == set()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []

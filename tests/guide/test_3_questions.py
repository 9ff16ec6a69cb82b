"""Questions in plain words.

A task can be a question. Moondream answers any; here the engine `scripted` answers from a list,
which is how rules are tried before there is a model or a GPU.
"""

import json

from tests.guide.conftest import Command, WriteFile, events_in

YARD = """
version: 1
engines:
  pretend:
    type: scripted
    answers:
      door: ["no", "yes", "yes", "no"]
cameras:
  yard:
    source: {type: file, path: plaza.mp4, starts_at: "2026-06-01T22:00:00Z"}
    tasks:
      door: {ask: "Is the fire door open?", every: 3s}
    rules:
      fire_door: {type: condition, of: door, is: yes, for: 3s}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""


def test_a_picture_is_asked_about(moonwatch: Command) -> None:
    """`ask` needs no file: a picture or a clip, a question, and the engine that answers."""
    engine = """--engine scripted --option 'answers={"Is it raining?": ["no"]}'"""

    said = moonwatch(f"ask plaza.mp4 --ask 'Is it raining?' {engine} --every 1h --json")

    assert json.loads(said)["answers"]["Is it raining?"]["text"] == "no"


def test_people_are_found_in_a_picture(moonwatch: Command) -> None:
    """The bundled detector needs no model to be fetched; boxes are fractions of the picture."""
    said = moonwatch("ask plaza.mp4 --detect person --every 1h --json")

    found = json.loads(said)["answers"]["detect person"]
    assert len(found["boxes"]) == len(found["scores"]) > 0
    assert all(0 <= edge <= 1 for box in found["boxes"] for edge in box)


def test_an_answer_that_lasts_is_an_event(file: WriteFile, moonwatch: Command) -> None:
    """`condition` begins when the answer has been the same for a while, and ends with it."""
    file("yard.yaml", YARD)

    moonwatch("run yard.yaml")
    begun, over = [event["data"] for event in events_in("events.jsonl")]

    assert (begun["phase"], begun["answer"]) == ("start", "yes")
    assert (over["phase"], over["answer"]) == ("end", "no")
    assert over["seconds"] == 6

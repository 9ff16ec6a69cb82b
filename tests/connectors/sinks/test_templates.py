"""Templates fill in what an event says, and can do nothing else."""

import json
from dataclasses import replace

import pytest

from connectors.sinks._templates import TemplateError, TextTemplate, values_of
from pipeline.core.config import Config
from pipeline.core.events import Event, JsonValue, Subject
from pipeline.core.sinks import SinkContext
from tests.contracts.event_tools import an_event, odd_events

CONTEXT = SinkContext("Shop 12", timezone="Europe/Berlin", link=lambda name: f"https://w/{name}")
CROSSING = replace(
    an_event(1),
    subject=Subject("person", 7, (0.1, 0.2, 0.3, 0.4)),
    data={"line": "step", "direction": "in", "items": 3, "verified": None},
    media=("door/2023-11-14/a.jpg",),
)


def rendered(text: str, event: Event = CROSSING) -> str:
    """What a template makes of an event."""
    return TextTemplate.checked(text).render(values_of(event, CONTEXT))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ camera }}: {{ rule }}", "door: footfall"),
        ("{{ at }} {{ time }} {{ date }}", "2023-11-14 23:13:21 23:13:21 2023-11-14"),
        ("{{ summary }}", "23:13:21 person #7, line step, direction in, items 3"),
        ("{{ iso }}", "2023-11-14T23:13:21.000+01:00"),
        ("{{ subject.label }} #{{ subject.track }}", "person #7"),
        ("{{ data.direction | upper }} {{ data.items }}", "IN 3"),
        ("{{ data.verified }}|{{ data.other | default('-') }}", "|-"),
        ("{% if data.direction == 'in' %}came{% else %}went{% endif %}", "came"),
        ("{% for name in data | sort %}{{ name }} {% endfor %}", "direction items line verified "),
        ("{{ link }}", "https://w/door/2023-11-14/a.jpg"),
        ("{{ site ~ '/' ~ camera.upper() }}", "Shop 12/DOOR"),
        ("{{ data['line'] }} {{ media[0] }}", "step door/2023-11-14/a.jpg"),
        ("{% for i in range(3) %}{{ loop.index }}{% endfor %}", "123"),
        ("{{ 'quoted' | json }} <b>&", '"quoted" <b>&'),
    ],
)
def test_values_are_filled_in(text: str, expected: str) -> None:
    """Names, maps, filters, conditions and loops; null is nothing, and nothing is escaped."""
    assert rendered(text) == expected


def test_a_direction_is_said_once() -> None:
    """A crossing's `name` is in the summary where the file gives the direction another word."""
    same = replace(CROSSING, data={"direction": "in", "name": "in"})
    other = replace(CROSSING, data={"direction": "in", "name": "arrivals"})
    assert rendered("{{ summary }}", same) == "23:13:21 person #7, direction in"
    assert rendered("{{ summary }}", other) == "23:13:21 person #7, direction in, name arrivals"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ kamera }}", "there is no `kamera`; there is at, camera"),
        ("a\n{{ data.lane }}", r"no `data.lane`; `data` of this event has line, .*\(line 2 of"),
        ("{{ data.lane.more }}", "no `data.lane`"),
        ("{{ data['lane'] | json }}", "no `data.lane`"),
        ("{{ camera.__class__ }}", "str has no '__class__'"),
        ("{{ camera['__class__'] }}", "str has no '__class__'"),
        ("{{ 'a' * 1000000000 }}", "is for numbers"),
        ("{{ '%1000000000d' % 1 }}", "is for numbers"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% for i in range(2000) %}{% endfor %}", "at most 1000 numbers"),
        ("{% for i in range(10 * 10000000000 * 10000000000) %}{% endfor %}", "at most 1000"),
        ("{% for i in range(1000) %}{{ text }}{% endfor %}", "more than 8192 bytes"),
        (
            "{% set a = text | replace('o', text) %}{% set b = a | replace('o', a) %}"
            "{{ b | replace('o', b) | replace('o', b) }}",
            "more than 65536 letters",
        ),
        ("{% set a = [text] + [text] %}{{ (a | join) + 1 }}", "TypeError"),
    ],
)
def test_what_cannot_be_filled_in_says_why(text: str, words: str) -> None:
    """What is missing and what there is, or what was too much."""
    with pytest.raises(TemplateError, match=words):
        rendered(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ camera", "line 1 of the template: unexpected end"),
        ("{% if camera %}", "line 1 of the template"),
        ("{% macro f() %}{% endmacro %}", "'macro' cannot be used"),
        ("{% include 'x' %}", "'include' cannot be used"),
        ("{% for a in b recursive %}{% endfor %}", "recursive loops cannot"),
        ("{{ 2 ** 9 }}", "'pow' cannot be used"),
        ("{{ camera | attr('x') }}", "no filter 'attr'; there are abs"),
        ("{{ camera is callable }}", "no test 'callable'"),
        ("{{ cycler(1) }}", r"only range\(\) and methods"),
        ("{{ camera.format(1) }}", r"only range\(\) and methods"),
        ("{% for a in b %}{% for a in b %}{% for a in b %}{% endfor %}{% endfor %}{% endfor %}",
         "at most 2 deep"),
        ("x" * 40_000, "at most 32768 letters"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
    ],
)  # fmt: skip
def test_what_templates_cannot_do_is_refused_when_a_file_is_read(text: str, words: str) -> None:
    """By a config's own field too."""

    class Holder(Config):
        body: TextTemplate

    with pytest.raises(TemplateError, match=words):
        TextTemplate.checked(text)
    with pytest.raises(ValueError, match=words):
        Holder.model_validate({"body": text})
    good = Holder.model_validate({"body": "{{ camera }}"})
    assert isinstance(good.body, TextTemplate)
    assert good.model_dump(mode="json") == {"body": "{{ camera }}"}


def test_json_is_checked() -> None:
    """Texts with quotes and line ends are safe with the filter, and refused without it."""
    values: dict[str, JsonValue] = {**values_of(CROSSING, CONTEXT), "text": 'he said "no"\n'}
    good = TextTemplate('{"text": {{ text | json }}, "all": {{ data | json }}}')
    made = json.loads(good.render(values, is_json=True))
    assert made == {"text": 'he said "no"\n', "all": CROSSING.data}
    with pytest.raises(TemplateError, match=r"does not give JSON: .* in line 1, column 20"):
        TextTemplate('{"text": "{{ text }}"}').render(values, is_json=True)
    with pytest.raises(TemplateError, match="nested too deeply"):
        TextTemplate("[" * 8000).render(values, is_json=True)


def test_any_event_can_be_filled_in() -> None:
    """Whatever letters and numbers it has, and also one without picture, clip and subject."""
    for event in odd_events():
        text = rendered("{{ text }} {{ data | json }} {{ subject.box }} {{ link }}", event)
        assert event.camera in text


def test_a_camera_elsewhere_has_its_own_time() -> None:
    """Local times are those of the camera's site."""
    context = replace(CONTEXT, timezones={"door": "Asia/Tokyo"}, sites={"door": "Ginza"})
    made = TextTemplate("{{ site }} {{ at }}").render(values_of(CROSSING, context))
    assert made == "Ginza 2023-11-15 07:13:21"

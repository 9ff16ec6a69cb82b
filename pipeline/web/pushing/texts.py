"""What a message says, in the languages of the pages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from pipeline.core.events import Event, is_about_health
from pipeline.core.ranges import nearest_moment

LANGUAGES: Final = ("en", "de")
_LONGEST_TITLE, _LONGEST_TEXT, _LONGEST_WORD = 120, 240, 80
_SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "line_crossing": "{kind} crossed {place}",
        "dwell": "{kind} stays at {place}",
        "occupancy": "Too many or too few at {place}",
        "count": "Too many or too few at {place}",
        "crowding": "Many close together at {place}",
        "absence": "Nobody at {place}",
        "queue": "Queue at {place}",
        "tailgating": "{kind} followed close behind at {place}",
        "wrong_way": "{kind} went the wrong way at {place}",
        "speed": "{kind} was too fast at {place}",
        "left_object": "{kind} was left at {place}",
        "removed_object": "{kind} was taken from {place}",
        "parking": "{kind} parks at {place}",
        "condition": "{rule}: “{answer}”",
        "sequence": "{rule}: one after the other",
        "report": "Report {rule}",
        "arming.on": "Armed by {by}",
        "arming.off": "Disarmed by {by}",
        "health": "The camera is {trouble}",
        "other": "{rule}",
        "over": "Over: {said}",
        "something": "Something",
        "text": "{time} · {rule}",
        "trial": "Trial message",
        "trial_text": "This device is told of events.",
    },
    "de": {
        "line_crossing": "{kind} überquerte {place}",
        "dwell": "{kind} bleibt bei {place}",
        "occupancy": "Zu viele oder zu wenige bei {place}",
        "count": "Zu viele oder zu wenige bei {place}",
        "crowding": "Viele dicht beisammen bei {place}",
        "absence": "Niemand bei {place}",
        "queue": "Schlange bei {place}",
        "tailgating": "{kind} folgte dicht dahinter bei {place}",
        "wrong_way": "{kind} ging bei {place} in die falsche Richtung",
        "speed": "{kind} war bei {place} zu schnell",
        "left_object": "{kind} blieb bei {place} zurück",
        "removed_object": "{kind} wurde bei {place} weggenommen",
        "parking": "{kind} parkt bei {place}",
        "condition": "{rule}: „{answer}“",
        "sequence": "{rule}: eins nach dem anderen",
        "report": "Bericht {rule}",
        "arming.on": "Scharf geschaltet von {by}",
        "arming.off": "Unscharf geschaltet von {by}",
        "health": "Störung der Kamera: {trouble}",
        "other": "{rule}",
        "over": "Vorbei: {said}",
        "something": "Etwas",
        "text": "{time} · {rule}",
        "trial": "Probenachricht",
        "trial_text": "Dieses Gerät erfährt von Ereignissen.",
    },
}
# Troubles of cameras that are called differently; those of other names are said as they are.
_TROUBLES: Final[Mapping[str, Mapping[str, str]]] = {
    "de": {
        "offline": "nicht erreichbar",
        "frozen": "Bild steht",
        "black": "Bild ist schwarz",
        "masked": "Bild ist verdeckt",
    }
}
_DAY_AND_TIME: Final = {"en": "%d %b %H:%M", "de": "%d.%m. %H:%M"}


def title_of(event: Event, language: str) -> str:
    """What happened and where, in one line."""
    texts = _SAID.get(language, _SAID["en"])

    def word(name: str) -> str:
        said = event.data.get(name)
        return _short(said, _LONGEST_WORD) if isinstance(said, str) else ""

    kind = texts["something"] if event.subject is None else event.subject.label
    trouble = event.type.removeprefix("camera_")
    key = event.type if event.type in texts else "other"
    if is_about_health(event):
        key = "health"
    elif event.type == "arming":
        key = "arming.on" if event.data.get("armed") is True else "arming.off"
    said = texts[key].format(
        kind=_short(kind[:1].upper() + kind[1:], _LONGEST_WORD),
        place=word("zone") or word("line") or event.camera,
        rule=event.rule,
        answer=word("answer"),
        by=word("by"),
        trouble=_TROUBLES.get(language, {}).get(trouble, trouble.replace("_", " ")),
    )
    if event.phase == "end":
        said = texts["over"].format(said=said)
    return _short(f"{said} – {event.camera}" if event.camera else said, _LONGEST_TITLE)


def text_of(event: Event, language: str, zone: ZoneInfo) -> str:
    """When it was, by the clock of the camera's site, and which rule says so."""
    texts = _SAID.get(language, _SAID["en"])
    moment = datetime.fromtimestamp(nearest_moment(event.at), zone)
    # `strftime` says months as the process's locale has them, which is that of C.
    time = moment.strftime(_DAY_AND_TIME.get(language, _DAY_AND_TIME["en"]))
    return _short(texts["text"].format(time=time, rule=event.rule), _LONGEST_TEXT)


def trial_of(language: str) -> tuple[str, str]:
    """Title and text of a message that somebody asked for to see whether it comes."""
    texts = _SAID.get(language, _SAID["en"])
    return texts["trial"], texts["trial_text"]


def _short(text: str, most: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"

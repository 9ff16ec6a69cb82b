"""`did you mean`: the known name closest to a mistyped one."""

import difflib
import re
from collections.abc import Iterable, Mapping

# Below this similarity a guess is more often confusing than helpful.
_CLOSE_ENOUGH = 0.6
# Longer ones are no names, and comparing takes a time that grows with their length.
_LONGEST_NAME = 256
# A value of a megabyte in the wrong place is recognised by its beginning.
_LONGEST_WORD, _LONGEST_SENTENCE = 300, 1500
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


_MEANT_TYPES: Mapping[str, tuple[str, ...]] = {
    "rtsp": ("camera", "ip", "ipcam", "ip_camera", "onvif", "stream", "rtsps"),
    "http": ("mjpeg", "mjpg", "jpeg", "jpg", "snapshot", "https", "image"),
    "webcam": ("usb", "v4l2", "uvc", "device"),
    "file": ("video", "mp4", "recording", "clip", "folder", "images"),
    "coco": ("ssd", "detector", "default"),
    "onnx": (
        *("yolo", "ultralytics", "onnxruntime", "yolox", "yolov5", "yolov8", "yolo11", "rfdetr"),
        *("rf-detr", "dfine", "d-fine", "deim"),
    ),
    "moondream": ("vlm", "llm", "moondream2", "vision", "gpt"),
    "transformers": ("detr", "rtdetr", "rt-detr", "huggingface", "hf", "owlv2"),
    "redis": ("valkey", "shared", "network"),
    "memory": ("local", "ram", "in-memory", "none"),
    "line_crossing": ("line", "lines", "crossing", "tripwire", "footfall", "counter", "counting"),
    "occupancy": ("zone", "zones", "intrusion", "people", "presence"),
    "dwell": ("loitering", "waiting", "stay", "dwelling", "visit", "time_in_zone"),
    "absence": ("absent", "empty", "nobody", "unattended", "unmanned", "away"),
    "queue": ("line_length", "checkout", "waiting_line", "queueing", "queuing", "wait"),
    "crowding": ("crowd", "gathering", "group", "density", "cluster"),
    "wrong_way": ("direction", "one_way", "wrong_direction", "reverse", "against"),
    "heat_map": ("heatmap", "heat", "footprint", "paths", "dwell_map"),
    "condition": ("question", "ask", "answer", "state", "yes_no"),
    "tailgating": ("piggybacking", "following", "tailgate", "badge"),
    "parking": ("parked", "standing", "stationary", "stopped", "still"),
    "speed": ("velocity", "speeding", "kmh", "radar", "speed_limit"),
    "left_object": ("abandoned", "abandoned_object", "unattended", "left", "left_luggage"),
    "removed_object": ("theft", "taken", "missing", "removed", "missing_object"),
    "csv": ("excel", "spreadsheet", "table", "xls", "xlsx"),
    "jsonl": ("file", "json", "log", "ndjson"),
    "stdout": ("console", "terminal", "print", "screen", "stdio"),
    "mail": ("email", "e-mail", "smtp", "smtps", "mailto", "sendmail"),
    "webhook": (
        *("http", "https", "url", "rest", "post", "mqtt", "slack", "telegram"),
        *("discord", "sms", "push"),
    ),
}
"""What people write for a `type`, by what they mean."""


def meant_type(name: str, known: Iterable[str]) -> str | None:
    """The type that a word means where it is not spelled like one: `loitering` is `dwell`."""
    word = name.strip().casefold()
    return next((kind for kind in known if word in _MEANT_TYPES.get(kind, ())), None)


def brief(text: str) -> str:
    """A sentence that fits on a screen, with the middle of what is long left out."""
    if len(text) <= _LONGEST_WORD:
        return text
    short = _LONG_WORD.sub(lambda word: f"{word[0][:32]} ... {word[0][-32:]}", text)
    if len(short) > _LONGEST_SENTENCE:
        short = f"{short[: _LONGEST_SENTENCE // 2]} ... {short[-_LONGEST_SENTENCE // 2 :]}"
    return short


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, ignoring case, or None when none is similar."""
    if len(name) > _LONGEST_NAME:
        return None
    by_folded = {word.casefold(): word for word in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, 1, _CLOSE_ENOUGH)
    return by_folded[found[0]] if found else None


def hint(name: str, known: Iterable[str], what: str = "there are") -> str:
    """`; did you mean X?` where a name is close, else `; there are: ...`."""
    words = list(known)
    guess = nearest(name, words)
    if guess is not None:
        return f"; did you mean {guess!r}?"
    # A comma among the words has to be told from those between them.
    shown = [word if any(map(str.isalnum, word)) else repr(word) for word in words]
    return f"; {what}: {', '.join(shown)}" if shown else f"; {what} none"

"""What was kept of what was seen stays readable: a block and a tail, as they were first written."""

import base64
from dataclasses import replace

import pytest

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.jobs import WHOLE, Result, unjudgeable_result
from pipeline.core.observations import ObservedFrame, unpacked

RUN = "2026-11-27T07:00:00Z 1a2b"


def _result(ordinal: int, at: float, *, last: bool = False) -> Result:
    return Result("", RUN, "fast", ordinal, 2 * ordinal, at, (1280, 720), live=True, last=last)


def _frames() -> list[ObservedFrame]:
    boxes = ((0.1, 0.2, 0.30001, 0.45678), (-0.00321, 0.5, 1.0, 1.23456))
    moved = ((0.10002, 0.2, 0.30001, 0.45678), (0.7, 0.7, 0.8, 0.8))
    first, second, third = (_result(n, 1_790_000_000 + n / 3) for n in (0, 1, 5))
    answers: dict[str, Answer] = {
        "people": Boxes("fast", boxes, (0.9, 0.31234)),
        "spots": Points("fast", ((0.5, 0.25),), (1.0,), saturated=True),
        "carts": Number("fast", 10**25, 0.1 + 0.2),
        "door": Text("fast", "offen, glaube ich — ü", 0.123456789),
        "light": Failed("fast", "out of memory"),
    }
    first = replace(first, answers=answers, asked={"people": "0a1b2c", "door": "ffee"})
    second = replace(
        second,
        answers={"people": Boxes("fast", moved, (0.9, 0.5))},
        looked=(WHOLE, (0.1, 0.2, 0.3, 0.4)),
        looking=("people",),
    )
    unreadable = unjudgeable_result("", RUN, "fast", 6, live=True)
    end = _result(7, 1_790_000_002.5, last=True)
    return [
        ObservedFrame(first, {"people": (7, None)}),
        ObservedFrame(second, {"people": (7, 12)}),
        *map(ObservedFrame, (third, unreadable, end)),
    ]


FRAMES = _frames()
BLOCK = """
AXiclZG/S8NAFMffXaIWseji7CG4KSRRrLo0/gNF0Di4aNJebKHt1TYF3erS2cYEREQ6tJ10cFMRBZtN/AFuolAcO+
vutWk7Kerj7nj3ed/vuwd37B5UTD1nXSiSMjsly1NKaEUKLUgSX2tE1hXDvu+De/yEXaeWoSyTpFWDbdNc23XrVHMZ
ZuVqGZZIWz6rO9WonuUsnU8ZNNvRVWKMZSsW3ba6xmRiM27VTD2RpDGf2XbnhZqky4YStX2TaVK6V+qU/jjtYOm7aX
td/tkN7/H4VQvQ/yed31NoaV1AWBD5KSLkAg58DruPiy8nkQYAPMCopj2Apq0+X08sn425mubXygAORhg7AzAw5Hoj
ZFdsRDCMcw/mG7wRtQyNoyInqEsMFaAZhC0QuuS1ABDzYAv1CBGhfPMBRX5FLbLvieUiAk9cqvOyqAYFcLwAEIi09Q
FQ4cjP1I1gU/CzQnBO4G77nPFvS0+SzaSeNyhJROPkveCQ+tUpy1uEmSRFUyy7YwMqXcrST2HfhZ+nWzFzF745fAvN
R9e/ADhH5us=
"""
TAIL = """
QZWcpGZhc3S5MjAyNi0xMS0yN1QwNzowMDowMFogMWEyYgAAy0HarE7gAAAAks0FAM0C0AKFpnBlb3BsZZWlYm94ZX
OkZmFzdJKUyz+5mZmZmZmayz/JmZmZmZmayz/TM10knkT6yz/dO+IuXeFdlMu/akvboKUmlss/4AAAAAAAAMs/8AAA
AAAAAMs/88DB/I8yOJLLP+zMzMzMzM3LP9P9YOlO45PCpXNwb3RzlaZwb2ludHOkZmFzdJGSyz/gAAAAAAAAyz/QAA
AAAAAAkcs/8AAAAAAAAMOlY2FydHOVpm51bWJlcqRmYXN0ujEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwyz/TMzMz
MzM0wqRkb29ylKR0ZXh0pGZhc3S4b2ZmZW4sIGdsYXViZSBpY2gg4oCUIMO8yz+/mt03OWNfpWxpZ2h0k6ZmYWlsZW
SkZmFzdK1vdXQgb2YgbWVtb3J5gqZwZW9wbGWmMGExYjJjpGRvb3KkZmZlZcCQgaZwZW9wbGWSB8CcpGZhc3S5MjAy
Ni0xMS0yN1QwNzowMDowMFogMWEyYgECy0HarE7gFVVVks0FAM0C0AKBpnBlb3BsZZWlYm94ZXOkZmFzdJKUyz+5mu
kk8ifQyz/JmZmZmZmayz/TM10knkT6yz/dO+IuXeFdlMs/5mZmZmZmZss/5mZmZmZmZss/6ZmZmZmZmss/6ZmZmZmZ
mpLLP+zMzMzMzM3LP+AAAAAAAADCgJKUywAAAAAAAAAAywAAAAAAAAAAyz/wAAAAAAAAyz/wAAAAAAAAlMs/uZmZmZ
mZmss/yZmZmZmZmss/0zMzMzMzM8s/2ZmZmZmZmpGmcGVvcGxlgaZwZW9wbGWSBwycpGZhc3S5MjAyNi0xMS0yN1Qw
NzowMDowMFogMWEyYgUKy0HarE7gaqqrks0FAM0C0AKAgMCQgJykZmFzdLkyMDI2LTExLTI3VDA3OjAwOjAwWiAxYT
JiBv/LAAAAAAAAAACSAAAGgIDAkICcpGZhc3S5MjAyNi0xMS0yN1QwNzowMDowMFogMWEyYgcOy0HarE7goAAAks0F
AM0C0AOAgMCQgA==
"""


@pytest.mark.parametrize("kept", [BLOCK, TAIL], ids=["block", "tail"])
def test_what_was_seen_is_read_as_it_was_written(kept: str) -> None:
    """Every kind of answer, time, size and gap, to the last bit."""
    assert repr(unpacked(base64.b64decode(kept))) == repr(FRAMES)

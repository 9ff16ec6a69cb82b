"""moonwatch: ask your cameras questions in plain words, and act on the answers.

The main types of `pipeline.core`, for your own code; everything else is in its package.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.core.answers import Boxes, Failed, Number, Points, Text
    from pipeline.core.events import Event, to_cloudevent
    from pipeline.core.frames import Frame
    from pipeline.core.jobs import Job, Result
    from pipeline.core.tasks import Ask, Caption, Count, Detect, Point
    from pipeline.core.tracks import Track

__all__ = [
    "Ask",
    "Boxes",
    "Caption",
    "Count",
    "Detect",
    "Event",
    "Failed",
    "Frame",
    "Job",
    "Number",
    "Point",
    "Points",
    "Result",
    "Text",
    "Track",
    "to_cloudevent",
]

# Imported lazily, so that a command or the import of one package does not wait for all of these.
_HOMES = {
    "pipeline.core.answers": ("Boxes", "Failed", "Number", "Points", "Text"),
    "pipeline.core.events": ("Event", "to_cloudevent"),
    "pipeline.core.frames": ("Frame",),
    "pipeline.core.jobs": ("Job", "Result"),
    "pipeline.core.tasks": ("Ask", "Caption", "Count", "Detect", "Point"),
    "pipeline.core.tracks": ("Track",),
}


def __getattr__(name: str) -> object:
    """Import a type of `pipeline.core` when it is first used."""
    for home, nouns in _HOMES.items():
        if name in nouns:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""moonwatch: ask your cameras questions in plain words, and act on the answers.

The nouns of `pipeline.core`, for users' own code; everything else lives in its package.
"""

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

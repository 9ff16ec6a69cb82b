"""Boxes in, tracks out: one tracker for each camera and task. Knows no pixels, rule or clock."""

from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.tracker import BoxTracker

__all__ = ["BoxTracker", "TrackerConfig"]

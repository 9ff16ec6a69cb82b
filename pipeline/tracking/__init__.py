"""Boxes in, tracks out: one tracker for each camera and task. Knows no pixels, rule or clock."""

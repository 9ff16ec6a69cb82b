"""Frames in, jobs out: which pictures are worth a look, and with which questions.

Knows no camera protocol, model or rule; what it sends is masked, resized and numbered.
"""

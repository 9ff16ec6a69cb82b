"""Metrics as pure functions: an answer and what is right, to a score.

Where the script that made a published figure and the literature define a metric differently, both
are here. Knows nothing of files, prompts and models.
"""

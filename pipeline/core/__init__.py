"""The types every part of moonwatch shares: frames, tasks, answers, tracks, events and the ports.

Knows nothing of cameras, models, queues and databases; imports no other package of moonwatch.
"""

"""The words every part of moonwatch shares: frames, tasks, answers, tracks, events and the ports.

Knows no camera, model, queue or database; imports nothing else of ours.
"""

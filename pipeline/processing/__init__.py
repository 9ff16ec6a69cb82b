"""Results in, events out: order, track, judge, keep state per camera. Needs no pixels or engines.

Snapshots are the one exception: they fetch a picture by reference after an event.
"""

"""How well things are counted: on recorded scenes, on synthetic ones, and on the bundled clip.

Knows boxes, tracks and rules; of pictures and a detector only the clip knows.
"""

"""Detectors in ONNX files: what a file says of itself, what its outputs mean, and nets at work.

`file`, `formats` and `classes` need no library and serve a check of settings; the other modules are
imported when a net is loaded.
"""

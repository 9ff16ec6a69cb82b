"""Draws what was tracked and counted onto a recording."""

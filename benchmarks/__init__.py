"""Measurements of speed, memory and accuracy; each prints its table and says how it measures."""

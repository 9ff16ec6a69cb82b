"""Turns an operator's YAML into plain values that know where they come from.

Knows no camera, engine or rule: it works on trees, and on pydantic models it is handed.
"""

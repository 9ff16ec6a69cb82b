"""Servers that connectors of several kinds reach: how they are named, and how to get in."""

"""Tests of `pipeline.server`."""

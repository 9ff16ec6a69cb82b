"""Checkpoints of the transformers library behind one way of asking; imported when one is loaded."""

"""The layers of the model, without any order of work."""

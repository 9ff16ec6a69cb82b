"""A running deployment: its stages, in one process or in many. Independent of the command line."""

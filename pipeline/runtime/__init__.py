"""A deployment at work: its stages, in one process or in many. Knows no command line."""

"""Recordings as files: which ones a path means, and when each of them begins."""

"""Counting by hand in the application: what `moonwatch audit` draws, clip by clip."""

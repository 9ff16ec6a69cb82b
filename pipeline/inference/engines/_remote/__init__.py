"""A model elsewhere: what is sent to it, what it answers, and what it may cost."""

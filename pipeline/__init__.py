"""moonwatch: ask your cameras questions in plain words, and act on the answers."""

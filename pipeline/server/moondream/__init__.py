"""The interface that Moondream's clients speak: query, caption, detect and point."""

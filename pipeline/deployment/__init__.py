"""The deployment file as values. Starts nothing and opens nothing."""

"""What rules have measured, for the pages: the figures of `moonwatch report` and `export`."""

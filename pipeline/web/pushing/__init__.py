"""Messages to browsers that have no page open: sealed, signed and sent."""

"""What happened: found, shown, delivered and reviewed."""

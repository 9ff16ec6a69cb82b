"""What old releases wrote is read for ever."""

"""The running batch: requests become rows, and take turns on the device."""

"""What runs on the device: prefills and cycles over rows, the memory of keys, captured graphs."""

"""What an edit would have counted, while it is being made."""

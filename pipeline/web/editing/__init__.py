"""Edits a camera's lines, zones, masks, rules and tasks where the file says them."""

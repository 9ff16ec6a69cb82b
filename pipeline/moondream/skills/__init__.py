"""What a row of the running batch is for: prompts out, steps in, results out.

Knows nothing of tensors, caches or devices.
"""

"""Jobs in, results out: batches frames, asks engines, publishes answers. Knows nothing of rules."""

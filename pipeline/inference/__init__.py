"""Jobs in, results out: batches frames, asks engines, publishes answers. Knows no rule."""

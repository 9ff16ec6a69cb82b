"""Video through FFmpeg: inputs, packets, pictures, and when each was captured."""

"""What the world does to cameras, files and machines: one test for each circumstance."""

"""Published benchmarks of vision-language models, measured with this engine or with any server.

Knows nothing of cameras and deployments. Data sets are read from files that are already here;
nothing is ever downloaded.
"""

"""What is known about a deployment, for command line and web alike. Reads, changes nothing."""

"""The `moonwatch` command line, one file for each command."""

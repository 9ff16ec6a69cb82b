"""`python -m pipeline` is `moonwatch`."""

from pipeline.cli.main import main

main()

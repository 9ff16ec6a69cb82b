"""`python -m pipeline` is `moonwatch`."""

from pipeline.app.cli import main

main()

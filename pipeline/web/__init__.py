"""The application: what a deployment knows, to be seen, drawn and asked in a browser."""

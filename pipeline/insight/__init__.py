"""Status, summary and evaluation of a deployment, for command line and web. Changes nothing."""

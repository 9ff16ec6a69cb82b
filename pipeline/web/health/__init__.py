"""How a deployment is, for the pages: what `moonwatch status` says, with what helps."""

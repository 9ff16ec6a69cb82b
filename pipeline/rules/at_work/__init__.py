"""Rules at work, each in the module named as its config's; a check of a file needs none of them."""

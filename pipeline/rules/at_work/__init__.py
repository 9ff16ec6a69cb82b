"""The running rules, each in a module named like its config's; `check` imports none of them."""

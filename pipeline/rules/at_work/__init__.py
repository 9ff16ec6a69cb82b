"""Running rules, each in a module with the name of its config's; `check` imports none of them."""

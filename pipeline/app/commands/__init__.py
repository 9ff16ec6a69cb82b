"""The commands of `moonwatch`, a module for each group of them."""

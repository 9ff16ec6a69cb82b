"""A deployment file's text as a tree whose values know their line. Knows no key of the format."""

"""Numbers for people: exports and reports of what a store keeps. Knows no rule by its name.

A number that is not known is never shown as zero, and beside each stands how much of its time is
known.
"""

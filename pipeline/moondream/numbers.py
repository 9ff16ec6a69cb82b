"""Numbers in what the model says."""

import re

_UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_UP_TO_TWENTY = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen")
NUMBER_WORDS = (*_UP_TO_TEN, *_UP_TO_TWENTY, "eighteen", "nineteen", "twenty")
NO_WORDS = ("no", "none", "nothing")  # a count of zero, in words


def number_in(text: str) -> int | None:
    """Return the first number a text says, in digits or in words up to twenty."""
    for word in re.findall(r"\d+|[a-z]+", text.lower()):
        if word.isdigit():
            return int(word)
        if word in NUMBER_WORDS:
            return NUMBER_WORDS.index(word)
        if word in NO_WORDS:
            return 0
    return None

"""Which passwords may be, and what is kept of them."""

import time

import pytest

from pipeline.web.access import passwords


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "password1234",
        "P@ssw0rd1234!",
        "passwordpassword",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "abababababababab",
        "123456789012",
        "qwertyuiop123",
        "1qaz2wsx3edc4rfv",
        "zyxwvutsrqponm",
        "Moonwatch2026!",
        "Sommer2026!!!!",
        "iloveyou123456",
        "grace.hopper1906",
        "correct horse battery staple",
        "x" * 257,
    ],
)
def test_what_is_tried_first_is_refused(password: str) -> None:
    """In a sentence that does not quote it."""
    with pytest.raises(ValueError, match="password") as refused:
        passwords.checked_password(password, "grace.hopper")
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "three green boats upriver",
        "vT8#kq2!Lw9z",
        "der Mond scheint ins Lager",
        "пароль из четырёх слов",
        "correct the staple of my neighbour",
    ],
)
def test_what_nobody_would_guess_may_be(password: str) -> None:
    """Whatever it is made of."""
    assert passwords.checked_password(password, "grace.hopper") == password


def test_a_password_is_told_by_its_hash() -> None:
    """By argon2id, with costs and salt beside it; alike keys of other keyboards count as one."""
    kept = passwords.hash_of("three green boats upriver")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert kept != passwords.hash_of("three green boats upriver")
    assert passwords.fits("three green boats upriver", kept)
    assert not passwords.fits("three green boats downriver", kept)
    assert not passwords.fits("x" * 100_000, kept)
    composed = passwords.hash_of("caf\u00e9 caf\u00e9 caf\u00e9")
    assert passwords.fits("cafe\u0301 cafe\u0301 cafe\u0301", composed)
    assert not passwords.fits("the password of nobody", None)


def test_any_text_is_judged_at_once() -> None:
    """However it was made to keep the check busy: the time grows with its length, and no faster."""
    began = time.process_time()
    for text in (
        "a" * 256,
        "ab" * 128,
        "abc1" * 64,
        "qwertz" * 42,
        "aaaaaaab" * 32,
        "\u0301" * 256,
    ):
        with pytest.raises(ValueError, match="password"):
            passwords.checked_password(text)
    # A hundred times what it takes; a pattern that went wrong would take years.
    assert time.process_time() - began < 20

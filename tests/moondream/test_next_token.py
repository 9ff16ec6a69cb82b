"""Choosing the next token."""

import torch

from pipeline.moondream.device.next_token import Draws, greedy, nucleus

PROBS = torch.tensor([0.1, 0.5, 0.05, 0.3, 0.05])


def drawn(top_p: float, temperature: float, count: int = 4000) -> torch.Tensor:
    """Return the share of each token over evenly spaced uniform numbers."""
    draws = (torch.arange(count) + 0.5) / count
    tokens = nucleus(
        PROBS.log().expand(count, -1),
        torch.full((count,), temperature),
        torch.full((count,), top_p),
        draws,
    )
    return tokens.bincount(minlength=len(PROBS)) / count


def test_everything_is_drawn_by_its_probability() -> None:
    """With top_p 1 and temperature 1 every token comes as often as its probability says."""
    torch.testing.assert_close(drawn(1.0, 1.0), PROBS, rtol=0, atol=1e-3)


def test_nucleus_keeps_tokens_until_the_mass_before_exceeds_top_p() -> None:
    """The token that crosses top_p is kept, those after it are not, and shares are rescaled."""
    wanted = torch.tensor([0.0, 0.625, 0.0, 0.375, 0.0])
    torch.testing.assert_close(drawn(0.6, 1.0), wanted, rtol=0, atol=1e-3)
    torch.testing.assert_close(drawn(0.4, 1.0)[1], torch.tensor(1.0))


def test_cold_rows_are_greedy_beside_warm_ones() -> None:
    """Temperature 0 takes the likeliest token whatever the number drawn."""
    logits = PROBS.log().expand(2, -1)
    tokens = nucleus(logits, torch.tensor([0.0, 1.0]), torch.ones(2), torch.tensor([0.99, 0.999]))
    assert tokens[0] == greedy(logits)[0] == 1
    assert tokens[1] != 1


def test_a_draw_of_nearly_one_stays_in_the_nucleus() -> None:
    """Rounding does not carry the largest number past the last token kept."""
    draw = torch.tensor([1.0 - 1e-7])
    assert nucleus(PROBS.log()[None], torch.ones(1), torch.tensor([0.6]), draw) == 3


def test_draws_belong_to_the_token_number() -> None:
    """A seed gives each token the same number in whatever order they are asked for."""
    one, other = Draws(7), Draws(7)
    assert [one.at(i) for i in (3, 0, 2)] == [other.at(i) for i in (3, 0, 2)]
    assert one.at(0) != Draws(8).at(0)

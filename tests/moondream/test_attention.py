"""Attention in segments is attention."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.moondream.device.attention import merge, merge_over, partial_attention


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_segments_merge_to_the_whole(dtype: torch.dtype, atol: float) -> None:
    """Two segments attended to apart and merged are one attention over both."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator).to(dtype) for n in (4, 9, 9))
    parts = [partial_attention(q, k[:, :, a:b], v[:, :, a:b]) for a, b in ((0, 5), (5, 9))]
    whole = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    torch.testing.assert_close(merge(parts), whole, rtol=0, atol=atol)


def test_hidden_segments_count_for_nothing() -> None:
    """A segment none of whose keys is visible leaves the others' result as it is."""
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 2, n, 8, generator=generator) for n in (1, 6, 6))
    seen = partial_attention(q, k, v)
    hidden = partial_attention(q, 100 * k, v, torch.zeros(1, 1, 1, 6, dtype=torch.bool))
    torch.testing.assert_close(merge([hidden, seen]), merge([seen]))


def test_segments_along_a_dimension() -> None:
    """Merging along a dimension is merging one by one."""
    generator = torch.Generator().manual_seed(2)
    q = torch.randn(1, 2, 1, 8, generator=generator).expand(3, -1, -1, -1)
    k, v = torch.randn(2, 3, 2, 5, 8, generator=generator)
    parts = partial_attention(q, k, v)
    one_by_one = [type(parts)(*(part[i] for part in parts)) for i in range(3)]
    torch.testing.assert_close(merge([merge_over(parts, dim=0)]), merge(one_by_one))

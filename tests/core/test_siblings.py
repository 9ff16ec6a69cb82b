"""Words for kinds that exclude each other."""

import pytest

from pipeline.core.siblings import siblings


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (["car", "truck"], [(0, 1)]),
        (["Trucks", "a car", "person", "buses"], [(0, 1, 3)]),
        (["bicycle", "car", "motorcycle", "lorry"], [(1, 3), (0, 2)]),
        (["man", "women", "child"], [(0, 1, 2)]),
        # one may be the other
        (["car", "vehicle"], []),
        (["car", "red car"], []),
        (["person", "person in a helmet"], []),
        (["person", "man"], []),
        (["truck", "lorry"], []),
        (["car", "taxi"], []),
        # of two words for one kind the first counts
        (["truck", "car", "lorry"], [(0, 1)]),
        # a boy is a child, so only some of them exclude each other
        (["child", "boy", "woman"], [(0, 2)]),
        (["person"], []),
        ([], []),
    ],
)
def test_only_what_excludes_each_other_belongs_together(
    labels: list[str], groups: list[tuple[int, ...]]
) -> None:
    """Of one family, different kinds, by their plain names."""
    assert siblings(labels) == groups

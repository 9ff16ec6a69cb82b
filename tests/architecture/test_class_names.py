"""A class name means one thing in the whole house."""

import ast
from collections import defaultdict

from tests.architecture.source_tree import modules


def test_no_two_classes_share_a_name() -> None:
    """Who reads a class's name anywhere knows which one is meant, private or not."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{module.name}.{node.name}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

"""How large a file and a function may be. An exception is an entry whose number may only fall."""

from tests.architecture.source_tree import body_lines, functions, modules

FILE_LINES = 300
FUNCTION_LINES = 40
FILE_EXCEPTIONS: dict[str, int] = {}
FUNCTION_EXCEPTIONS: dict[str, int] = {}


def test_files_are_short() -> None:
    """A file has at most 300 lines."""
    long = {m.name: m.lines for m in modules() if m.lines > FILE_LINES}
    assert long == FILE_EXCEPTIONS


def test_functions_are_short() -> None:
    """A function's body has at most 40 lines."""
    long = {
        name: body_lines(function)
        for module in modules()
        for name, function in functions(module)
        if body_lines(function) > FUNCTION_LINES
    }
    assert long == FUNCTION_EXCEPTIONS

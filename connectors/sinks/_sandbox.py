"""Jinja's language, cut down to what is listed here; imported with the first template of a file."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, filters, nodes
from jinja2 import Template as Compiled
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from connectors.sinks._templates import TemplateError, values_of
from pipeline.core.events import Event, JsonValue
from pipeline.core.sinks import SinkContext

_LONGEST_TEMPLATE = 32 * 1024
# A value that is put together on the way may be larger than what is written at last, but not much.
_LONGEST_TEXT = 64 * 1024
_LONGEST_RANGE = 1000
_DEEPEST_LOOPS = 2
_NAME = "<template>"
_BLOCKS = "{% if %}, {% for %} and {% set %}"
_FILTERS = """
abs capitalize count d default dictsort first float int items join json last length list lower
max min replace reverse round sort string sum title trim truncate unique upper urlencode
"""
_TESTS = """
boolean defined divisibleby even false float ge gt in integer le lower lt mapping ne none number
odd sequence string true undefined upper eq equalto greaterthan lessthan sameas == != > >= < <=
"""
_METHODS = """
capitalize endswith get items keys lower lstrip rsplit rstrip split startswith strip title
upper values
"""
_OF_LOOPS = "index index0 revindex revindex0 first last length depth"
_NODES = """
Template Output TemplateData Name NSRef Getattr Getitem Const If For Assign AssignBlock Filter
Test Compare Operand And Or Not Add Sub Mul Div FloorDiv Mod Neg Pos Concat CondExpr List Tuple
Dict Pair Slice Call Keyword
"""


class _Excess(Exception):  # noqa: N818 - never leaves this module
    """An expression would make something too large."""


def rendered(text: str, values: Mapping[str, JsonValue], most_bytes: int) -> str:
    """The text that a template makes of the values; raises TemplateError."""
    written: list[str] = []
    size = 0
    try:
        for piece in compiled(text).generate(**_named(dict(values), "")):
            size += len(piece.encode(errors="surrogatepass"))
            written.append(piece)
            if size > most_bytes:
                break
    except TemplateError:
        raise
    except UndefinedError as error:
        raise TemplateError(f"{error}{_line_of(error)}") from None
    except Exception as error:  # noqa: BLE001 - whatever an expression does to a value
        # The words of a library are not shown: they may hold values that are nobody's business.
        said = error.args[0] if isinstance(error, _Excess) else type(error).__name__
        raise TemplateError(f"the template fails{_line_of(error)}: {said}") from None
    if size > most_bytes:
        raise TemplateError(f"the template writes more than {most_bytes} bytes")
    return "".join(written)


@lru_cache(maxsize=256)
def compiled(text: str) -> Compiled:
    """A template made ready; TemplateError for one that asks for more than is listed here."""
    if len(text) > _LONGEST_TEMPLATE:
        raise TemplateError(f"a template has at most {_LONGEST_TEMPLATE} letters")
    environment = _environment()
    try:
        parsed = environment.parse(text, _NAME, _NAME)
        _check(parsed, 0)
        _bound_joins(parsed)
        code = environment.compile(parsed, _NAME, _NAME)
    except TemplateSyntaxError as error:
        said = (error.message or "it cannot be read").rstrip(".")
        raise TemplateError(f"line {error.lineno} of the template: {said}") from None
    except (RecursionError, MemoryError, SyntaxError):
        raise TemplateError("the template is nested too deeply") from None
    return environment.template_class.from_code(environment, code, environment.globals, None)


class _NamedMap(dict[str, Any]):
    """A map that knows what it is called, for sentences about what it lacks."""

    path = ""


def _named(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        named = _NamedMap({key: _named(item, f"{path}{key}.") for key, item in value.items()})
        named.path = path
        return named
    return [_named(item, path) for item in value] if isinstance(value, list) else value


def _line_of(error: BaseException) -> str:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line} of the template)" if line is not None else ""


def _check(node: nodes.Node, loops: int) -> None:
    """Refuse what is not listed, in a node and all below it."""
    refused: str | None = None
    match node:
        case nodes.For(recursive=True):
            refused = "recursive loops cannot be used"
        case nodes.For():
            loops += 1
            if loops > _DEEPEST_LOOPS:
                refused = f"loops are nested at most {_DEEPEST_LOOPS} deep"
        case nodes.Filter() if node.name not in _FILTERS.split():
            there = ", ".join(_FILTERS.split())
            refused = f"there is no filter {node.name!r}; there are {there}"
        case nodes.Test() if node.name not in _TESTS.split():
            refused = f"there is no test {node.name!r}"
        case nodes.Call() if not _may_be_called(node.node):
            refused = "only range() and methods of texts and maps such as .upper() can be called"
        case _ if type(node).__name__ not in _NODES.split():
            kind = type(node).__name__.lower()
            refused = f"{kind!r} cannot be used; there are {{{{ values }}}}, filters, {_BLOCKS}"
    if refused is not None:
        raise TemplateError(f"line {node.lineno} of the template: {refused}")
    for child in node.iter_child_nodes():
        _check(child, loops)


def _may_be_called(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr in _METHODS.split()
    return isinstance(node, nodes.Name) and node.name == "range"


def _bound_joins(node: nodes.Node) -> None:
    """Write every `a ~ b` as a filter that knows a limit."""
    for child in node.iter_child_nodes():
        _bound_joins(child)
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, name, [_as_filter(one) for one in value])
        elif isinstance(value, nodes.Concat):
            setattr(node, name, _as_filter(value))


def _as_filter(value: Any) -> Any:
    if not isinstance(value, nodes.Concat):
        return value
    listed = nodes.List(value.nodes, lineno=value.lineno)
    joined = nodes.Filter(listed, "join", [], [], None, None, lineno=value.lineno)
    joined.set_environment(_environment())
    return joined


class _Missing(StrictUndefined):
    """What is not there, with a sentence about what is."""

    @property
    def _undefined_message(self) -> str:
        of, name = self._undefined_obj, self._undefined_name
        if of is missing:
            there = sorted(values_of(Event("", "", "single", "", "", 0.0), SinkContext("")))
            return f"there is no `{name}`; there is {', '.join(there)}"
        if isinstance(of, _NamedMap):
            there = [str(key) for key in of]
            return (
                f"there is no `{of.path}{name}`; `{of.path.rstrip('.')}` of this event has "
                f"{', '.join(there) or 'nothing'} (or write "
                f"{{{{ {of.path}{name} | default('...') }}}})"
            )
        return f"{type(of).__name__} has no {name!r}"


class _Sandbox(ImmutableSandboxedEnvironment):
    """Where only what is listed can be reached."""

    intercepted_binops = frozenset({"+", "*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, StrictUndefined):
            str(obj)  # says what is missing
        plain = isinstance(obj, str | dict) and attribute in _METHODS.split()
        looping = isinstance(obj, LoopContext) and attribute in _OF_LOOPS.split()
        found = getattr(obj, attribute, None) if plain or looping else None
        return self.undefined(obj=obj, name=attribute) if found is None else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, StrictUndefined):
            str(obj)
        if isinstance(obj, dict | list | str | tuple):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+":
            result = left + right
            return _bounded(result) if isinstance(result, str | list | tuple) else result
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise _Excess(f"`{operator}` is for numbers")
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    environment = _Sandbox(
        undefined=_Missing,
        autoescape=False,
        keep_trailing_newline=True,
        finalize=lambda value: "" if value is None else value,
    )
    known = {name: filters.FILTERS[name] for name in _FILTERS.split() if name in filters.FILTERS}
    environment.filters = {**known, "json": _as_json, "replace": _replaced, "join": _joined}
    environment.globals = {"range": _short_range}
    return environment


def _as_json(value: Any) -> str:
    if isinstance(value, StrictUndefined):
        str(value)  # says what is missing
    return json.dumps(value, ensure_ascii=False)


def _replaced(text: str, old: str, new: str) -> str:
    text, old, new = str(text), str(old), str(new)
    if len(text) + text.count(old) * len(new) > _LONGEST_TEXT:
        raise _Excess(f"a text would have more than {_LONGEST_TEXT} letters")
    return text.replace(old, new)


def _joined(values: Any, between: str = "") -> str:
    texts = ["" if one is None else str(one) for one in values]
    if sum(map(len, texts)) + len(texts) * len(str(between)) > _LONGEST_TEXT:
        raise _Excess(f"a text would have more than {_LONGEST_TEXT} letters")
    return str(between).join(texts)


def _bounded(value: Any) -> Any:
    if len(value) > _LONGEST_TEXT:
        raise _Excess(f"a text would have more than {_LONGEST_TEXT} letters")
    return value


def _short_range(*bounds: int) -> range:
    made = range(*bounds)
    try:
        length = len(made)
    except OverflowError:
        length = _LONGEST_RANGE + 1
    if length > _LONGEST_RANGE:
        raise _Excess(f"a range has at most {_LONGEST_RANGE} numbers")
    return made

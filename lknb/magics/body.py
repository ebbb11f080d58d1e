"""A cell's body as a function for each call or event: with variables of its own, and the cell's lines in errors."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from IPython.core.error import UsageError


def function(shell: Any, magic_line: str, body: str, name: str, parameters: Sequence[str]) -> Callable[..., Any]:
    """Make a function of `parameters` that runs `body`, and returns its last value or its `return` value.

    If the body awaits, the function is async. It is a function like any other: it reads the user's globals, and the
    names that it assigns, imports or defines belong to the call, unless the body declares them `global`.

    Args:
        shell: the IPython shell.
        magic_line: the cell's first line, so that errors name lines of the cell instead of the body.
        body: Python code.
        name: the function's name.
        parameters: the names of its parameters.

    Raises:
        UsageError: if the body is not valid Python, or could never run.
    """
    # IPython removes leading empty lines, which would shift the line numbers.
    text = body.lstrip()
    empty = body[: len(body) - len(text)].count("\n")
    transformed = "\n" * empty + shell.transform_cell("\n".join(body.split("\n")[empty:]))
    raw = f"{magic_line}\n{body}"
    # Not shell.execution_count: while a cell runs, IPython 9 has already incremented it, and IPython 8 has not.
    number = len(shell.history_manager.input_hist_raw) - 1
    filename = shell.compile.cache(f"{magic_line}\n{transformed}", number, raw_code=raw)
    try:
        tree = ast.parse(transformed, filename)
    except SyntaxError as error:
        raise _not_python(error.msg, (error.lineno or 0) + 1) from None
    ast.increment_lineno(tree, 1)
    if text.startswith("%%lk") and not body.endswith("\n"):
        _without_added_newline(tree)
    _check(tree, parameters)
    try:
        code = _compiled(ast.FunctionDef, tree.body, parameters, filename)
    except SyntaxError:
        try:
            # The body may await. Any other mistake is one here too.
            code = _compiled(ast.AsyncFunctionDef, tree.body, parameters, filename)
        except SyntaxError as error:
            raise _not_python(error.msg, error.lineno or 0) from None
    namespace: dict[str, Any] = {}
    # Defined in the user's globals, but without leaving its own name there.
    exec(code, shell.user_ns, namespace)  # noqa: S102 - the user's own cell
    made: Callable[..., Any] = namespace["lk_body"]
    made.__name__ = made.__qualname__ = name
    made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)  # the name in tracebacks
    return made


def _without_added_newline(tree: ast.Module) -> None:
    """Undo IPython's change to the body of a `%%lk` that is the whole body: that text is a payload, as typed."""
    match tree.body:
        case [ast.Expr(ast.Call(ast.Attribute(attr="run_cell_magic"), [_, _, ast.Constant(str(payload)) as typed]))]:
            typed.value = payload.removesuffix("\n")


def _compiled(
    kind: type[ast.FunctionDef | ast.AsyncFunctionDef],
    statements: Sequence[ast.stmt],
    parameters: Sequence[str],
    filename: str,
) -> CodeType:
    """The code that defines the body as `lk_body`, a function that returns the value of its last statement."""
    *body, last = statements or [ast.Pass()]
    if isinstance(last, ast.Expr):
        last = ast.copy_location(ast.Return(last.value), last)
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(each) for each in parameters], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    definition = kind(name="lk_body", args=arguments, body=[*body, last], decorator_list=[])
    module = ast.fix_missing_locations(ast.Module([definition], type_ignores=[]))
    return compile(module, filename, "exec", dont_inherit=True)


def _check(tree: ast.Module, parameters: Sequence[str]) -> None:
    """Refuse a body that yields, and one that changes a variable which no call can have set."""
    set_here = _assigned(tree) | set(parameters)
    for node in _outside_functions(tree):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            raise _not_python("'yield' is not supported", node.lineno)
        target = node.target if isinstance(node, ast.AugAssign) else node
        changes = isinstance(node, ast.AugAssign) or isinstance(getattr(node, "ctx", None), ast.Del)
        if changes and isinstance(target, ast.Name) and target.id not in set_here:
            raise _not_python(
                f"the call's {target.id!r} has no value",
                target.lineno,
                " Variables that a body assigns or deletes belong to the call. To change the notebook's, begin the "
                f"body with: global {target.id}",
            )


def _assigned(tree: ast.Module) -> set[str]:
    """The names that a body or a function in it sets in any way except `+=`, or declares global."""
    augmented = [node.target for node in ast.walk(tree) if isinstance(node, ast.AugAssign)]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in augmented:
            names.add(node.id)
        elif isinstance(node, ast.Global):
            names.update(node.names)
        # Imports, definitions, `except ... as` and captures of `match` hold their names as text.
        texts = [getattr(node, field, None) for field in ("name", "asname", "rest")]
        names.update(text.partition(".")[0] for text in texts if isinstance(text, str))
    return names


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a body that run as part of it, without those in functions and classes that it defines."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _outside_functions(child)


def _not_python(why: str, line: int, advice: str = "") -> UsageError:
    return UsageError(f"The body cannot run: {why} on line {line} of the cell.{advice}")

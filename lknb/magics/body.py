"""A cell's body as a function for each call or event: in the user's namespace, with the cell's lines in errors."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.error import UsageError


def function(shell: Any, magic_line: str, body: str, name: str, parameters: Sequence[str]) -> Callable[..., Any]:
    """Make a function of `parameters` that runs `body`, and returns its last value or its `return` value.

    If the body awaits, the function is async. Names that it assigns are the user's globals; its parameters are local.

    Args:
        shell: the IPython shell.
        magic_line: the cell's first line, so that errors name lines of the cell instead of the body.
        body: Python code.
        name: the function's name.
        parameters: the names of its parameters.

    Raises:
        UsageError: if the body is not valid Python.
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
    statements = tree.body
    if statements and isinstance(statements[-1], ast.Expr):
        last = statements[-1]
        statements[-1] = ast.copy_location(ast.Return(last.value), last)
    scope = _Scope()
    for statement in statements:
        scope.visit(statement)
    if scope.yields:
        raise _not_python("'yield' is not supported", scope.yields)
    statements = [_Plain().visit(each) for each in statements]
    ours = sorted(scope.assigned - set(parameters) - scope.declared - {"*"})
    if ours:
        statements.insert(0, ast.Global(ours))
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(each) for each in parameters], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    kind = ast.AsyncFunctionDef if scope.awaits else ast.FunctionDef
    definition = kind(name="lk_body", args=arguments, body=statements or [ast.Pass()], decorator_list=[])
    module = ast.fix_missing_locations(ast.Module([definition], type_ignores=[]))
    try:
        code = compile(module, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _not_python(error.msg, error.lineno or 0) from None
    namespace: dict[str, Any] = {}
    # Defined in the user's globals, but without leaving its own name there.
    exec(code, shell.user_ns, namespace)  # noqa: S102 - the user's own cell
    made: Callable[..., Any] = namespace["lk_body"]
    made.__name__ = made.__qualname__ = name
    made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)  # the name in tracebacks
    return made


def _not_python(why: str, line: int) -> UsageError:
    return UsageError(f"The body cannot run: {why} on line {line} of the cell.")


class _Plain(ast.NodeTransformer):
    """Removes annotations from names, because annotated names cannot be global."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name):
            return node
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _nested(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _nested  # noqa: N815


class _Scope(ast.NodeVisitor):
    """The names that a body assigns or declares global, and whether it awaits or yields, without nested scopes."""

    def __init__(self) -> None:
        self.assigned: set[str] = set()
        self.declared: set[str] = set()
        self.awaits = False
        self.yields = 0  # the line of a `yield`
        self._depth = 0

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and not self._depth:
            self.assigned.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.assigned.add(node.target.id)
        self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        self.declared |= set(node.names)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.assigned |= {(each.asname or each.name).split(".")[0] for each in node.names}

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.assigned.add(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.assigned.add(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.assigned.add(node.rest)
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield | ast.YieldFrom) -> None:
        self.yields = node.lineno
        self.generic_visit(node)

    visit_YieldFrom = visit_Yield  # noqa: N815

    def visit_Await(self, node: ast.AST) -> None:
        self.awaits = True
        self.generic_visit(node)

    visit_AsyncFor = visit_AsyncWith = visit_Await  # noqa: N815

    def visit_FunctionDef(self, node: Any) -> None:
        self.assigned.add(node.name)
        for each in (*node.decorator_list, *node.args.defaults, *(x for x in node.args.kw_defaults if x)):
            self.visit(each)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.assigned.add(node.name)
        for each in (*node.decorator_list, *node.bases, *(word.value for word in node.keywords)):
            self.visit(each)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def _comprehension(self, node: Any) -> None:
        # Its loop variables are local to it, but an `await` or `:=` in it belongs to the function.
        self._depth += 1
        if any(each.is_async for each in node.generators):
            self.awaits = True
        self.generic_visit(node)
        self._depth -= 1

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

"""Every small break of a Python source, one at a time."""

import ast
from dataclasses import dataclass
from types import CodeType

SWAPPED_OPERATOR = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"),
    ("floor", "ceil"), ("sin", "cos"), ("zeros", "ones"), ("logical_and", "logical_or"),
)  # fmt: skip
SWAPPED_NAME = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
REMOVED = (
    ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.For, ast.Delete, ast.Continue, ast.Break,
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A source with one break.

    ``line`` and ``what`` ("old -> new") say where and how. ``function`` is the first line, decorators
    included, of the outermost function that runs the break; 0 for what runs at import.
    """

    line: int
    what: str
    function: int
    tree: ast.Module
    place: tuple[ast.AST, ast.AST, ast.AST, str, int | None]

    def code(self, filename: str) -> CodeType:
        """Return the compiled broken source; its lines are those of the whole one."""
        old, new, *where = self.place
        _put(*where, ast.fix_missing_locations(ast.copy_location(new, old)))
        broken = compile(self.tree, filename, "exec")
        _put(*where, old)
        return broken

    def source(self) -> str:
        """Return the broken source, without comments and layout."""
        old, new, *where = self.place
        _put(*where, new)
        broken = ast.unparse(ast.fix_missing_locations(self.tree)) + "\n"
        _put(*where, old)
        return broken


def mutants(source: str) -> list[Mutant]:
    """Every break of a source, in order of lines."""
    tree = ast.parse(source)
    found = [
        Mutant(place[0].lineno, f"{_short(place[0])} -> {_short(place[1])}", function, tree, place)
        for *place, function in _places(tree, 0)
    ]
    return sorted(found, key=lambda mutant: mutant.line)


def _put(parent, attribute, index, node):
    if index is None:
        setattr(parent, attribute, node)
    else:
        getattr(parent, attribute)[index] = node


def _short(node):
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"


def _places(parent, function):
    """Every (node, replacement, parent, attribute, index, function) below a node."""
    own = function
    if isinstance(parent, ast.FunctionDef) and not function:
        own = min([parent.lineno, *(each.lineno for each in parent.decorator_list)])
    for attribute, field in ast.iter_fields(parent):
        if attribute in ("annotation", "returns", "decorator_list"):
            continue
        function = 0 if attribute == "args" and isinstance(parent, ast.FunctionDef) else own
        for index, node in enumerate(field) if isinstance(field, list) else [(None, field)]:
            if not isinstance(node, ast.AST) or _says_only(node):
                continue
            news = list(_instead(node))
            if attribute in ("test", "ifs"):
                news.append(ast.UnaryOp(ast.Not(), node))
            for new in news:
                yield node, new, parent, attribute, index, function
            yield from _places(node, function)


def _says_only(node):
    """Whether a node is text for people or a list of names: a break of it is no break of behaviour."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom)


def _instead(node):
    """Replacements of a node; they share its children."""
    match node:
        case ast.BinOp(left, op, right):
            yield ast.BinOp(left, SWAPPED_OPERATOR[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield ast.AugAssign(target, SWAPPED_OPERATOR[type(op)](), value)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(SWAPPED_OPERATOR[type(op)](), values)
        case ast.Compare(left, ops, others):
            for k, op in enumerate(ops):
                swapped = SWAPPED_OPERATOR[type(op)]()
                yield ast.Compare(left, [*ops[:k], swapped, *ops[k + 1 :]], others)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield ast.Constant(2.0 * value if value else 1.0)
        case ast.Call(ast.Name(name), arguments, keywords) if name in SWAPPED_NAME:
            yield ast.Call(ast.Name(SWAPPED_NAME[name], ast.Load()), arguments, keywords)
        case ast.Call(ast.Attribute(value, name), arguments, keywords) if name in SWAPPED_NAME:
            swapped = ast.Attribute(value, SWAPPED_NAME[name], ast.Load())
            yield ast.Call(swapped, arguments, keywords)
        case ast.Return(value) if value is not None and ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
    if isinstance(node, REMOVED) or (isinstance(node, ast.AnnAssign) and node.value is not None):
        yield ast.Pass()

"""Figures about one Python source file, from its syntax tree.

Called by general.py.  Only statements are walked, since functions, classes and blocks are nothing else; the walk
keeps its own stack, because a file may nest deeper than Python recurses.
"""

import ast
import warnings

from ._errors import WorkerError

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_CHECK_EVERY = 512  # statements between two looks for a cancel


def analyse(path, check):
    """{path, bytes, lines, functions, classes, longest_function, deepest_nesting}.

    `check` is called now and then and may raise, to end a file that nobody waits for any more.  A file that is no
    Python raises SyntaxError with {path, line} as data; one that the parser cannot hold, TooComplex.
    """
    with open(path, "rb") as file:
        source = file.read()
    check()
    found = _walk(_parse(source, path), check)
    found["path"] = path
    found["bytes"] = len(source)
    found["lines"] = source.count(b"\n") + (not source.endswith(b"\n") and bool(source))
    return found


def _parse(source, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in somebody's string is not this worker's business
            return ast.parse(source)
    except SyntaxError as error:
        line = error.lineno or 0
        raise WorkerError("SyntaxError", "%s (line %d)" % (error.msg, line), {"path": path, "line": line}) from None
    except ValueError as error:  # a null byte, in older Pythons
        raise WorkerError("SyntaxError", str(error), {"path": path, "line": 0}) from None
    except (RecursionError, MemoryError):
        raise WorkerError("TooComplex", "the file is nested too deeply to be parsed", {"path": path}) from None


def _walk(tree, check):
    """Counts statements by kind.  Depth is that of the blocks around a statement: 0 at the top of the module."""
    functions = classes = deepest = seen = 0
    longest = None
    stack = [(tree.body, 0)]
    while stack:
        statements, depth = stack.pop()
        if depth > deepest and statements:
            deepest = depth
        for node in statements:
            seen += 1
            if seen % _CHECK_EVERY == 0:
                check()
            if isinstance(node, _FUNCTIONS):
                functions += 1
                lines = node.end_lineno - node.lineno + 1
                if longest is None or lines > longest["lines"]:
                    longest = {"name": node.name, "line": node.lineno, "lines": lines}
            elif isinstance(node, ast.ClassDef):
                classes += 1
            for field in _BLOCKS:
                block = getattr(node, field, None)
                if block:
                    stack.append((block, _depth_of(node, field, block, depth)))
    return {"functions": functions, "classes": classes, "longest_function": longest, "deepest_nesting": deepest}


def _depth_of(node, field, block, depth):
    """An `elif` is an `if` alone in an `orelse`, and handlers and cases are lists of blocks: none of these indents."""
    if field in ("handlers", "cases"):
        return depth + (field == "cases")
    if field == "orelse" and type(node) is ast.If and len(block) == 1 and type(block[0]) is ast.If:
        return depth
    return depth + 1

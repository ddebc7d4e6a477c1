"""Arithmetic without eval: the expression is parsed with `ast` and only what stands in the tables below is computed.

Called by general.py.  Every operation that could grow without bound is measured before it runs, so `9**9**9` is an
error within microseconds and not a machine without memory.
"""

import ast
import math
import operator

from ._errors import BadArguments, WorkerError

MAX_LENGTH = 1000  # characters of an expression
MAX_BITS = 4096  # of any integer on the way; the result must fit the wire's 64

_NAMES = {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf, "nan": math.nan}
_FUNCTIONS = {
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "hypot": math.hypot,
    "gcd": math.gcd,
}
_UNARY = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert}


def calculate(expression):
    """The number that the expression stands for.  BadArguments when it is none, typed errors when it grows too big."""
    if type(expression) in (int, float):
        return expression
    if type(expression) is not str:
        raise BadArguments("the expression is a string")
    if len(expression) > MAX_LENGTH:
        raise WorkerError("TooComplex", "an expression has at most %d characters" % MAX_LENGTH)
    try:
        value = _value(_parsed(expression))
    except (RecursionError, MemoryError):
        raise WorkerError("TooComplex", "the expression is nested too deeply") from None
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise WorkerError("TooBig", "the result has %d bits, the wire carries 64" % value.bit_length())
    return value


def _parsed(expression):
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError as error:
        raise BadArguments("no expression: %s" % error.msg) from None
    except ValueError as error:  # a null byte
        raise BadArguments("no expression: %s" % error) from None


def _value(node):
    kind = type(node)
    if kind is ast.Constant and type(node.value) in (int, float):
        return _bounded(node.value)
    if kind is ast.BinOp and type(node.op) in _BINARY:
        return _real(_BINARY[type(node.op)](_value(node.left), _value(node.right)))
    if kind is ast.UnaryOp and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if kind is ast.Name and node.id in _NAMES:
        return _NAMES[node.id]
    if kind is ast.Call and type(node.func) is ast.Name and node.func.id in _FUNCTIONS and not node.keywords:
        return _real(_FUNCTIONS[node.func.id](*[_value(argument) for argument in node.args]))
    raise BadArguments("%s is no arithmetic" % kind.__name__)


def _bounded(value):
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise _too_big(value.bit_length())
    return value


def _real(value):
    if type(value) not in (int, float):
        raise WorkerError("NotReal", "the value is no real number")
    return _bounded(value)


def _too_big(bits):
    return WorkerError("TooBig", "an integer of about %d bits; the limit on the way is %d" % (bits, MAX_BITS))


def _multiply(left, right):
    if type(left) is int and type(right) is int and left.bit_length() + right.bit_length() > MAX_BITS + 1:
        raise _too_big(left.bit_length() + right.bit_length())
    return left * right


def _power(base, exponent):
    if type(base) is int and type(exponent) is int and exponent > 0 and abs(base) > 1:
        bits = (abs(base).bit_length() - 1) * exponent
        if bits > MAX_BITS:
            raise _too_big(bits)
    return base**exponent


def _shift_left(value, count):
    if type(value) is int and type(count) is int and value.bit_length() + count > MAX_BITS:
        raise _too_big(value.bit_length() + count)
    return value << count


_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.LShift: _shift_left,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}

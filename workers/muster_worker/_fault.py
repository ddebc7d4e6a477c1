"""Where in a tree of values something stands that cannot travel: "$.rows[3]: a set has no form on the wire".

Called by _wire.py and _standalone.py once it is known that something does.  Finding that out is the codecs' work, done
for every message; this is slow, and imported with the first fault.  Paths are those of muster/value.h.
"""

from ._codec import MAX_DEPTH

_LEVELS = MAX_DEPTH - 1  # a message's own array is one container of the frame


def fault_in(values):
    """The first fault in any of these values, as text with its path; None when there is none."""
    for value in values:
        found = _fault(value, "$", 0)
        if found is not None:
            return found
    return None


def _fault(value, path, depth):
    """Recursion is as deep as containers may nest."""
    if not isinstance(value, (dict, list, tuple)):
        what = _scalar_fault(value)
        return what and "%s: %s" % (path, what)
    if depth == _LEVELS:
        return "%s: nested deeper than %d containers" % (path, _LEVELS)
    if isinstance(value, dict):
        return _fault_of_dict(value, path, depth)
    for index, item in enumerate(value):
        found = _fault(item, "%s[%d]" % (path, index), depth + 1)
        if found is not None:
            return found
    return None


def _fault_of_dict(value, path, depth):
    for number, (key, item) in enumerate(value.items(), 1):
        what = "a %s cannot be a key" % type(key).__name__ if isinstance(key, tuple) else _scalar_fault(key)
        if what is not None:
            return "%s: key number %d: %s" % (path, number, what)
        found = _fault(item, path + _step(key), depth + 1)
        if found is not None:
            return found
    return None


def _step(key):
    if isinstance(key, str):
        return "." + key if key and not set(key) & set('.[]"') else '["%s"]' % key
    return "[%r]" % (key,)


def _scalar_fault(value):
    if value is None or isinstance(value, (float, bytes, bytearray, memoryview)):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else "an integer of more than 64 bits"
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return "a string with half of a surrogate pair"
        return None
    return "a %s has no form on the wire" % type(value).__name__

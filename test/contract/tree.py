"""The source tree as the contract tests see it: where things are, and C code without comments and strings."""
import os
import re
from pathlib import Path

SOURCE = Path(os.environ.get("MU_SOURCE_ROOT", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ["MU_BUILD_ROOT"]) if "MU_BUILD_ROOT" in os.environ else None
COMPILER = os.environ.get("MU_CC", "gcc")

# The floors of the library and what each may stand on. This is the one place that says so.
FLOORS = {
    "base": set(),
    "runtime": {"base"},
    "otp": {"base", "runtime"},
    "port": {"base", "runtime", "otp"},
    "warden": {"base"},
    "system": {"base", "runtime", "otp", "port"},
    "pool": {"base", "runtime", "otp", "port", "system"},
    "session": {"base", "runtime", "otp", "port", "system", "pool"},
    "telemetry": {"base"},
}

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.DOTALL)


def code_of(text):
    """C source with comments blanked and strings emptied; line numbers stay."""
    def blank(match):
        if match.group("comment"):
            return re.sub(r"[^\n]", " ", match.group())
        quote = match.group()[0]
        return quote + " " * (len(match.group()) - 2) + quote
    return _TOKEN.sub(blank, text)


def c_files(*folders):
    """All C files below the folders, as paths relative to the source tree."""
    for folder in folders:
        for path in sorted((SOURCE / folder).rglob("*.[ch]")):
            yield path.relative_to(SOURCE)


def read(path):
    return (SOURCE / path).read_text(encoding="utf-8")


def public_headers():
    return sorted((SOURCE / "include" / "muster").glob("*.h"))


def expect_none(test, complaints):
    """Fails the unittest case with the complaints, one a line."""
    found = list(complaints)
    if found:
        test.fail("\n".join(map(str, found)))

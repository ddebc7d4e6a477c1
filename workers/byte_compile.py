"""Run by `meson install` with the workers' directory below the prefix: compiles what was installed there.

A user who starts workers cannot write there, and every start of a worker would compile the SDK anew: 25 ms each.
"""

import compileall
import os
import sys

directory = os.path.join(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], sys.argv[1])
staging = os.environ.get("DESTDIR") or None
compileall.compile_dir(directory, quiet=1, stripdir=staging, prependdir=staging and "/")

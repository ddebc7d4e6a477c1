"""python3 -m muster_worker TARGET: the same as workers/launch.py, for a package that is on the path already."""

import sys

from ._launch import main

main(sys.argv[1:])

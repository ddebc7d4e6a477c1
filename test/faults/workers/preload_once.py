"""A module that can be imported once: as long as the file that it makes is not there."""

import os

with open(os.environ["PRELOAD_ONCE"], "x"):
    pass

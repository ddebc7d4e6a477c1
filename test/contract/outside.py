"""Programs outside the tree: compiled and run against a build tree or an installed prefix, by pkg-config alone."""
import os
import subprocess
import sys
from pathlib import Path

import tree


def uninstalled():
    """The directory that makes pkg-config answer for the build tree."""
    return tree.BUILD / "meson-uninstalled"


def call(command, **options):
    """Runs a command; what it printed is shown when it fails."""
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if run.returncode != 0:
        print(run.stdout, run.stderr, sep="\n", file=sys.stderr)
        run.check_returncode()
    return run.stdout


def flags(pkg_config_path, *questions):
    return call(["pkg-config", *questions, "muster"],
                env={**os.environ, "PKG_CONFIG_PATH": str(pkg_config_path)}).split()


def compile_against(pkg_config_path, source, static=False):
    """The path of the program that `source` becomes, beside it."""
    program = Path(source).with_suffix("")
    questions = ["--cflags", "--libs"] + (["--static"] if static else [])
    arguments = flags(pkg_config_path, *questions)
    if static:
        libdir = flags(pkg_config_path, "--variable=libdir")[0]
        arguments = [f"{libdir}/libmuster.a" if word == "-lmuster" else word for word in arguments]
    call([tree.COMPILER, "-std=c11", "-Wall", "-Wextra", "-Werror", source, "-o", program, *arguments])
    return program


def run(program, pkg_config_path, arguments=()):
    """What the program printed. The environment names the library and nothing else of muster."""
    libraries = [word.removeprefix("-L") for word in flags(pkg_config_path, "--libs-only-L")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    return call([program, *arguments], env=environment, cwd="/", timeout=120)

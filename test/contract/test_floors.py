"""A folder of lib/ includes only what stands below it."""
import re
import unittest

import tree

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
GENERATED = {"build_info.h"}
# Third-party headers that one floor keeps to itself.
KEPT = {"uthash.h": "base", "utlist.h": "base", "msgpack.h": "base", "msgpack/": "base", "ini.h": "pool"}


def home_of_public(header):
    """The floor that implements <muster/NOUN.h>: the one with NOUN.c or NOUN.h in it, None when there is none."""
    noun = header.removesuffix(".h")
    for floor in tree.FLOORS:
        if any((tree.SOURCE / "lib" / floor / (noun + end)).exists() for end in (".c", ".h")):
            return floor
    return None


def complaints(floor, text, home=home_of_public):
    """What is wrong with the includes of a file of this floor, one sentence each."""
    reachable = tree.FLOORS[floor] | {floor}
    for mark, name in INCLUDE.findall(text):
        if mark == '"':
            if name in GENERATED:
                continue
            target = name.split("/")[0]
            if target not in tree.FLOORS or "/" not in name:
                yield f'"{name}" is not written from lib/, as "floor/noun.h"'
            elif target not in reachable:
                yield f'{floor} includes "{name}", but {target} does not stand below it'
        elif name.startswith("muster/"):
            target = home(name.removeprefix("muster/"))
            if target and target not in reachable:
                yield f"{floor} includes <{name}>, whose code is in {target}, not below it"
        else:
            for prefix, owner in KEPT.items():
                if name.startswith(prefix) and floor != owner:
                    yield f"{floor} includes <{name}>, which only {owner} may"


class Floors(unittest.TestCase):
    def test_a_floor_includes_only_what_stands_below_it(self):
        for path in tree.c_files("lib"):
            if len(path.parts) < 3:
                self.fail(f"{path} belongs to no floor")
            with self.subTest(str(path)):
                tree.expect_none(self, complaints(path.parts[1], tree.read(path)))

    def test_each_folder_of_lib_is_a_floor(self):
        folders = {path.name for path in (tree.SOURCE / "lib").iterdir() if path.is_dir()}
        self.assertEqual(set(tree.FLOORS), folders)

    def test_every_source_is_named_in_its_floors_list(self):
        for path in tree.c_files("lib"):
            if path.suffix == ".c":
                listed = (tree.SOURCE / path.parent / "meson.build").read_text()
                with self.subTest(str(path)):
                    self.assertIn(f"'{path.name}'", listed)


class TheCheckItself(unittest.TestCase):
    def red(self, floor, line, home=None):
        self.assertTrue(list(complaints(floor, line + "\n", lambda header: home)), line)

    def green(self, floor, line, home=None):
        self.assertEqual([], list(complaints(floor, line + "\n", lambda header: home)), line)

    def test_is_red_for_an_include_from_above(self):
        self.red("runtime", '#include "otp/supervisor.h"')
        self.red("warden", '  #  include "runtime/mailbox.h"')
        self.red("telemetry", '#include "system/system.h"')

    def test_is_red_for_a_public_header_from_above(self):
        self.red("base", "#include <muster/pool.h>", home="pool")

    def test_is_red_for_an_include_that_hides_its_floor(self):
        self.red("pool", '#include "queue.h"')
        self.red("pool", '#include "../base/clock.h"')

    def test_is_red_for_a_third_party_header_outside_its_floor(self):
        self.red("pool", "#include <uthash.h>")
        self.red("session", "#include <msgpack/pack.h>")

    def test_is_green_for_what_is_allowed(self):
        self.green("pool", '#include "base/clock.h"')
        self.green("pool", '#include "pool/queue.h"')
        self.green("base", "#include <uthash.h>")
        self.green("otp", "#include <muster/error.h>", home="base")
        self.green("base", "#include <stdio.h>")


if __name__ == "__main__":
    unittest.main()

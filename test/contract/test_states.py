"""doc/pool.md shows the table of a worker's states as lib/pool/state.c has it."""
import re
import unittest

import tree

HEADER = (tree.SOURCE / "include/muster/pool_info.h").read_text()
TEXTS = dict(re.findall(r'X\((MU_WORKER_\w+), "(\w+)"\)', HEADER))


def of_the_code():
    events = re.findall(r'X\(MU__WORKER_\w+, "(\w+)"', (tree.SOURCE / "lib/pool/state.h").read_text())
    code = (tree.SOURCE / "lib/pool/state.c").read_text()
    short = dict(re.findall(r"#define (\w{3}) (MU_WORKER_\w+)", code))
    table = {}
    for state, cells in re.findall(r"\[(MU_WORKER_\w+)\] *= *\{([^}]*)\}", code):
        row = [cell.strip() for cell in cells.split(",")]
        table[TEXTS[state]] = dict(zip(events, ["-" if cell == "X" else TEXTS[short[cell]] for cell in row], strict=True))
    return table


def of_the_page():
    lines = iter((tree.SOURCE / "doc/pool.md").read_text().splitlines())
    head = next(line for line in lines if line.startswith("| state | start "))
    events = [cell.strip() for cell in head.strip("|").split("|")][1:]
    next(lines)
    table = {}
    for line in lines:
        if not line.startswith("|"):
            return table
        state, *row = [cell.strip() for cell in line.strip("|").split("|")]
        table[state] = dict(zip(events, row, strict=True))
    return table


class States(unittest.TestCase):
    def test_the_page_shows_the_table_that_the_code_has(self):
        self.assertEqual(set(of_the_code()), set(TEXTS.values()))
        self.assertEqual(of_the_page(), of_the_code())


if __name__ == "__main__":
    unittest.main()

"""The two examples of supervision and registries: what happens in them, and in which order."""
import unittest

import programs


class SupervisionTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.status, cls.out, cls.err = programs.run("supervision_tree")

    def happened(self, headline):
        """The starts, ends and decisions below a headline, without their reasons."""
        act = next(part for part in self.out.split("\n\n") if part.startswith(headline))
        return " ".join("".join(line.split()[:2]) for line in act.splitlines() if line.startswith("    "))

    def test_ends_well(self):
        self.assertEqual((0, ""), (self.status, self.err))

    def test_starts_in_order_and_stops_in_reverse(self):
        self.assertEqual("+log +backup +disk +index +cache +config +listener +handler", self.happened("start"))
        self.assertEqual("-handler -listener -config -cache -index -disk -log", self.happened("stop"))

    def test_each_strategy_takes_along_whom_it_says(self):
        self.assertEqual("-log ~log +log", self.happened("log crashes"))
        self.assertEqual("-index ~index -cache -disk +disk +index +cache", self.happened("index crashes"))
        self.assertEqual("-listener ~listener -handler +listener +handler", self.happened("listener crashes: rest"))

    def test_a_supervisor_gives_up_and_is_started_anew(self):
        self.assertEqual("-listener !listener -handler -config ~front +config +listener +handler",
                         self.happened("listener crashes: the second"))

    def test_a_transient_child_stays_away_after_its_normal_end_alone(self):
        self.assertEqual("-backup ~backup +backup", self.happened("backup crashes"))
        self.assertEqual("-backup", self.happened("backup ends"))
        self.assertIn("backup stopped", self.out)


class ChatRegistry(unittest.TestCase):
    def test_a_room_hears_what_is_said_and_nobody_else_does(self):
        status, out, err = programs.run("chat_registry")
        self.assertEqual((0, ""), (status, err))
        said = {}
        for line in out.splitlines():
            if " hears " in line:
                who, text = line.strip().split(" hears ")
                said.setdefault(text, set()).add(who)
        self.assertEqual({"dinner is ready": {"ann", "bob"}, "it rains": {"bob", "eve"},
                          "where is bob?": {"ann"}, "the sun is back": {"bob"}}, said)


if __name__ == "__main__":
    unittest.main()

"""Tests of complement.py on lists and runs of their own."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import complement

SCOPE = """
[[group]]
reason = "another server"
tests = ["tests/TestFar", "tests/csapi/TestSync/parallel/far"]
[[group]]
reason = "not implemented"
packages = ["tests/msc1"]
"""
DEVIATIONS = """
[[deviation]]
test = "tests/csapi/TestProfile"
subtests = ["public"]
property = "nobody outside learns names"
adr = "complement.py"
"""
RUN = {
    ("tests", "TestFar"): "fail",
    ("tests", "TestNear"): "pass",
    ("tests/csapi", "TestProfile"): "fail",
    ("tests/csapi", "TestProfile/public"): "fail",
    ("tests/csapi", "TestSync"): "fail",
    ("tests/csapi", "TestSync/parallel"): "fail",
    ("tests/csapi", "TestSync/parallel/far"): "fail",
    ("tests/csapi", "TestSync/parallel/near_/with/slashes"): "skip",
    ("tests/msc1", "TestOld"): "fail",
}


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.here = pathlib.Path(directory.name)
        (self.here / "out_of_scope.toml").write_text(SCOPE)
        (self.here / "deviations.toml").write_text(DEVIATIONS)
        (self.here / "complement.py").touch()
        places = {"HERE": self.here, "ROOT": self.here, "RESULTS": self.here / "results.jsonl"}
        for name, place in places.items():
            patch = mock.patch.object(complement, name, place)
            patch.start()
            self.addCleanup(patch.stop)

    def run_of(self, **changes):
        """A run as `go test -json` writes it, some tests ending as `changes` says."""
        records = [{"Action": "start", "Package": "x"}, {"Action": "output", "Package": "x", "Test": "T", "Output": "{"}]
        for (package, test), action in RUN.items():
            action = changes.get(test, action)
            if action:
                records.append({"Action": action, "Package": f"example.org/complement/{package}", "Test": test})
        path = self.here / "run.json"
        path.write_text("go: a warning\n" + "".join(json.dumps(record) + "\n" for record in records))
        return [path]

    def call(self, command, *arguments):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            command(*arguments)
        return printed.getvalue()

    def test_a_record_is_sorted_and_leaves_out_what_is_out_of_scope(self):
        self.call(complement.record, self.run_of())
        lines = [json.loads(line) for line in (self.here / "results.jsonl").read_text().splitlines()]
        self.assertEqual(lines[0], {"suite": complement.SUITE})
        names = [line["Test"].removeprefix("tests/") for line in lines[1:]]
        near = "csapi/TestSync/parallel/near_/with/slashes"
        self.assertEqual(names, ["TestNear", "csapi/TestProfile", "csapi/TestProfile/public", near])

    def test_the_same_run_has_no_differences(self):
        self.call(complement.record, self.run_of())
        self.assertIn("4 results", self.call(complement.diff, self.run_of(TestFar="pass", TestOld=None)))

    def test_every_difference_is_an_error(self):
        self.call(complement.record, self.run_of())
        for action in ["fail", "skip", None]:
            with self.assertRaisesRegex(complement.Wrong, "1 differences:\n  tests/TestNear"):
                complement.diff(self.run_of(TestNear=action))
        with self.assertRaisesRegex(complement.Wrong, "2 differences"):
            complement.diff(self.run_of(**{"TestProfile": "pass", "TestProfile/public": "pass"}))

    def test_failures_are_deviations_and_deviations_fail(self):
        with self.assertRaisesRegex(complement.Wrong, "without being a deviation:\n  tests/TestNear"):
            complement.record(self.run_of(TestNear="fail"))
        with self.assertRaisesRegex(complement.Wrong, "does not fail"):
            complement.record(self.run_of(**{"TestProfile/public": "pass"}))

    def test_a_deviation_has_a_reason_on_file(self):
        for change in [("complement.py", "nowhere.md"), ("nobody outside learns names", " ")]:
            (self.here / "deviations.toml").write_text(DEVIATIONS.replace(*change))
            with self.assertRaisesRegex(complement.Wrong, "needs the property"):
                complement.record(self.run_of())

    def test_deviations_are_few(self):
        (self.here / "deviations.toml").write_text(DEVIATIONS * 11)
        with self.assertRaisesRegex(complement.Wrong, "11 deviations"):
            complement.record(self.run_of())

    def test_whole_tests_out_of_scope_are_skipped(self):
        self.assertEqual(self.call(complement.skip), "^(TestFar)$\n")

    def test_a_run_without_results_is_no_run(self):
        with self.assertRaises(complement.Wrong):
            complement.read_run([self.here / "deviations.toml"])


if __name__ == "__main__":
    unittest.main()

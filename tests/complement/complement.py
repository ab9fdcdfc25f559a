#!/usr/bin/env python3
"""Results of Complement: records them, and compares a run with the record.

    complement.py diff RUN...      the differences between `go test -json` output and results.jsonl, and recorded failures
                                   that are no deviations; none of either is exit code 0
    complement.py record RUN...    writes results.jsonl from it
    complement.py skip             a `go test -skip` pattern of the tests that are out of scope

A test is named by its package below the suite's root and its name: tests/csapi/TestLogin/parallel/...
"""

import json
import pathlib
import re
import sys
import tomllib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results.jsonl"
# The commit of the suite that results.jsonl and the two lists are about.
SUITE = "50044edb68c37c7ee4c1506f76d904d3d513fe2c"
# What the lists may come to at most.
MOST_DEVIATIONS = 10
ENDS = ("pass", "fail", "skip")


class Wrong(Exception):
    """The lists, the record or a run contradict each other; the text says how."""


def ancestors(test):
    """The tests that `test` is a subtest of. Subtests may have slashes in their names: these ancestors never ran."""
    parts = test.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def package_of(test):
    return re.match("(.*?)/Test", test)[1]


def is_whole(test):
    """Whether a name is that of a test itself, not of a subtest."""
    return "/" not in test.removeprefix(package_of(test) + "/")


class Scope:
    """What of the suite is not compared: tests listed as out of scope, and the packages that are not run."""

    def __init__(self):
        listed = tomllib.loads((HERE / "out_of_scope.toml").read_text())
        self.tests = [test for group in listed["group"] for test in group.get("tests", [])]
        self.packages = {package for group in listed["group"] for package in group.get("packages", [])}
        # A test whose subtest is out of scope passes or fails with it.
        self.above = {above for test in self.tests for above in ancestors(test)}

    def leaves_out(self, test):
        listed = any(name in self.tests for name in [test, *ancestors(test)])
        return listed or test in self.above or package_of(test) in self.packages


def read_run(paths):
    """The tests of `go test -json` output: name → pass, fail or skip."""
    results = {}
    for path in paths:
        for line in pathlib.Path(path).read_text(errors="replace").splitlines():
            # What a package prints outside its tests is no JSON.
            if not line.startswith("{"):
                continue
            record = json.loads(line)
            if record.get("Test") and record.get("Action") in ENDS:
                package = re.sub(r"^.*/complement/", "", record["Package"])
                results[f"{package}/{record['Test']}"] = record["Action"]
    if not results:
        raise Wrong("the run has no results: is it the output of `go test -json`?")
    return results


def compared(results):
    scope = Scope()
    return {test: action for test, action in results.items() if not scope.leaves_out(test)}


def recorded():
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    if not lines or lines[0] != {"suite": SUITE}:
        raise Wrong("results.jsonl is not about this commit of the suite")
    results = {line["Test"]: line["Action"] for line in lines[1:]}
    if [line["Test"] for line in lines[1:]] != sorted(results):
        raise Wrong("results.jsonl is not sorted, or names a test twice")
    return results


def check_deviations(results):
    """Every failure must be a stated deviation, every deviation a failure with a reason on file."""
    entries = tomllib.loads((HERE / "deviations.toml").read_text())["deviation"]
    if len(entries) > MOST_DEVIATIONS:
        raise Wrong(f"{len(entries)} deviations, at most {MOST_DEVIATIONS} are allowed")
    allowed = set()
    for entry in entries:
        if not entry["property"].strip() or not (ROOT / entry["adr"]).is_file():
            raise Wrong(f"{entry['test']}: a deviation needs the property that forbids it and an existing ADR")
        names = [f"{entry['test']}/{subtest}" for subtest in entry.get("subtests", [])] or [entry["test"]]
        for name in names:
            if results.get(name) != "fail":
                raise Wrong(f"{name}: listed as a deviation and does not fail")
            allowed.update([name, *ancestors(name)])
    failed = sorted(test for test, action in results.items() if action == "fail" and test not in allowed)
    if failed:
        raise Wrong("failed without being a deviation:\n  " + "\n  ".join(failed))


def record(paths):
    results = compared(read_run(paths))
    lines = [{"suite": SUITE}] + [{"Test": test, "Action": results[test]} for test in sorted(results)]
    RESULTS.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{len(results)} results recorded: {summary(results)}")
    check_deviations(results)


def diff(paths):
    known, found = recorded(), compared(read_run(paths))
    changes = [
        f"{test}: recorded {known.get(test, 'nothing')}, now {found.get(test, 'nothing')}"
        for test in sorted(known.keys() | found.keys())
        if known.get(test) != found.get(test)
    ]
    if changes:
        raise Wrong(f"{len(changes)} differences:\n  " + "\n  ".join(changes))
    print(f"{len(found)} results, as recorded: {summary(found)}")
    check_deviations(known)


def summary(results):
    return ", ".join(f"{sum(action == end for action in results.values())} {end}" for end in ENDS)


def skip():
    """Tests that are out of scope as a whole; skipping them saves their waits for servers that cannot be reached."""
    whole = sorted({test.removeprefix(package_of(test) + "/") for test in Scope().tests if is_whole(test)})
    print("^(" + "|".join(whole) + ")$")


def main(arguments):
    commands = {"diff": diff, "record": record}
    match arguments:
        case ["skip"]:
            skip()
        case [("diff" | "record") as command, *paths] if paths:
            commands[command](paths)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Wrong, OSError) as error:
        sys.exit(f"complement: {error}")

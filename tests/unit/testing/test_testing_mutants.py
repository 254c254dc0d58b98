import ast
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

MUTANTS = Path(__file__).with_name("mutants.py")


def expected() -> dict[str, str]:
    """Read which test must catch which class, from the source: importing it would run the suites."""
    found = {}
    for node in ast.parse(MUTANTS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "caught_by":
                    found[node.name] = ast.literal_eval(line.value)
    return found


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run the suites over all mutants in a process of their own; return what failed by class."""
    report = tmp_path_factory.mktemp("mutants") / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--import-mode=importlib", str(MUTANTS)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, set[str]] = defaultdict(set)
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            found[case.attrib["classname"].rsplit(".", 1)[-1]].add(case.attrib["name"].split("[")[0])
    return found


@pytest.mark.parametrize(("name", "test"), expected().items())
def test_a_fault_is_caught_and_its_absence_is_not(failed: dict[str, set[str]], name: str, test: str) -> None:
    if test:
        assert test in failed[name]
    else:
        assert failed[name] == set()

"""Figures stand in docs/experiments.md: an id that a comment names is there, and there once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"experiments: ([a-z0-9, -]+)", re.IGNORECASE)


def test_every_experiment_that_a_comment_names_is_described():
    listed = re.findall(r"^## ([a-z0-9-]+)$", (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8"), re.M)
    assert len(listed) == len(set(listed))
    named = {
        name.strip(" .")
        for path in (ROOT / "src").rglob("*.py")
        for names in NAMED.findall(path.read_text(encoding="utf-8"))
        for name in names.split(",")
    }
    assert named and named <= set(listed), named - set(listed)

"""What is pinned is what is needed; what the register of vulnerabilities says, or that it says nothing, is told."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import dependencies


def test_the_lock_is_that_of_todays_requirements():
    assert dependencies.unlocked() == []
    text = dependencies.LOCK.read_text()
    # Each version with its hashes, so that nothing else is ever installed under its name.
    for part in text.split("\n")[1:]:
        assert not part or part.startswith(("    --hash=sha256:", *"abcdefghijklmnopqrstuvwxyz")), part
    blocks = [block for block in text.replace("\n    --hash", " --hash").splitlines()[1:] if block]
    assert len(blocks) == len(dependencies.pinned(text)) and all("--hash=sha256:" in block for block in blocks)


def test_what_is_missing_or_other_is_named(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text(dependencies.LOCK.read_text().replace("\nnumpy==", "\nother==").replace("\nscipy==", "\nscipy==9."))
    monkeypatch.setattr(dependencies, "LOCK", lock)
    missing, other = dependencies.unlocked()
    assert missing == "numpy is not in it" and other.startswith("scipy is 9.")


FINE, SKIPPED = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    "rows, code, strict, says",
    [
        ([FINE, SKIPPED], 0, 0, "1 of 2 packages audited, 0 known"),
        ([SKIPPED], 0, 1, "Not audited: b"),
        ([FINE, BAD], 1, 1, "! c 2: CVE-1; mended by 3"),
        (None, 0, 1, "cannot be asked (no network)"),
    ],
)
def test_audit(rows, code, strict, says, tmp_path, monkeypatch, capsys):
    program = tmp_path / "pip-audit"
    answer = "echo no network >&2; exit 1" if rows is None else f"echo '{json.dumps({'dependencies': rows})}'"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setattr(dependencies, "program", lambda name: str(program))
    assert dependencies.audit(False) == code and says in capsys.readouterr().out
    assert dependencies.audit(True) == strict

"""Several processes of one program: only the first speaks, its end is the end, and a lost one is a sentence."""

import stat
from pathlib import Path

import pytest

from macrosplat.support import ranks
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.ranks import is_follower, is_rank, together

# Instead of Python: what the processes do by their rank.
STAND_IN = """#!/bin/sh
echo "$RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT sees <$CUDA_VISIBLE_DEVICES> says $*" >> {log}
case $RANK in {cases} esac
"""


def stand_in(root: Path, monkeypatch: pytest.MonkeyPatch, cases: str) -> Path:
    program, log = root / "python", root / "log"
    program.write_text(STAND_IN.format(log=log, cases=cases))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ranks.sys, "executable", str(program))
    monkeypatch.setattr(ranks, "GRACE", 0.5)
    return log


def test_the_first_says_how_it_ended_and_all_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    log = stand_in(tmp_path, monkeypatch, "0) sleep 0.3; exit 130;; 1) exit 0;; *) sleep 60;;")
    assert together(["reconstruct", "a"], 3, on_gpus=True) == 130
    lines = sorted(log.read_text().splitlines())
    assert [line.split(" at ")[0] for line in lines] == ["0 of 3", "1 of 3", "2 of 3"]
    assert [line.partition("<")[2].partition(">")[0] for line in lines] == ["4", "7", "9"]
    assert all(line.endswith("says -m macrosplat reconstruct a") for line in lines)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("2) kill -9 $$;; *) sleep 60;;", r"Rank 2 of 3 was lost \(SIGKILL\); .* --resume goes on"),
        ("0) kill -9 $$;; *) sleep 60;;", r"Rank 0 of 3 was lost \(SIGKILL\)"),
        ('1) echo "macrosplat: No photos." >&2; exit 2;; *) sleep 60;;', r"Rank 1 of 3 .*exit code 2: No photos\."),
    ],
)
def test_a_lost_process_ends_all_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: str, said: str
) -> None:
    stand_in(tmp_path, monkeypatch, cases)
    with pytest.raises(MacrosplatError, match=said):
        together(["reconstruct"], 3, on_gpus=False)


def test_more_gpus_than_there_are_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(MacrosplatError, match="--devices 2 was asked for, and this machine has 1 GPU"):
        together(["reconstruct"], 2, on_gpus=True)


def test_a_machine_is_not_flooded_with_processes() -> None:
    with pytest.raises(MacrosplatError, match=r"--devices 100000 was asked for, and this machine has \d+ cores"):
        together(["reconstruct"], 100_000, on_gpus=False)


def test_a_process_knows_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not is_rank() and not is_follower()
    for rank, follows in (("0", False), ("1", True)):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert is_rank() and is_follower() == follows

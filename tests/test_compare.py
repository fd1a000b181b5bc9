"""`compare`: methods mean options, every cell is run once, and the tables hold what the cells found."""

import json
import re
import subprocess
import types
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev

import msgspec
import numpy as np
import pytest
from PIL import Image

from macrosplat import cli
from macrosplat.cameras.sfm import known as sfm
from macrosplat.compare import cell, grid
from macrosplat.compare.cells import cells_of
from macrosplat.compare.methods import folder_of, options_of
from macrosplat.options import Options
from macrosplat.output import finish
from macrosplat.support.errors import MacrosplatError
from making_captures import write_capture
from making_training import made

BASE = Options(masks="off", width=320)
WORDS = ["--steps", "6", "--max-gaussians", "700", "--width", "64", "--device", "cpu"]


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("plain", {}),
        ("richardson-lucy+plain", {"deblur_first": "richardson-lucy"}),
        ("blurnet:depth=raw,light=srgb", {"blurnet": replace(Options().blurnet, depth="raw", light="srgb")}),
        ("blurnet:joint-from=0.3,steps=70", {"blurnet": replace(Options().blurnet, joint_from=0.3), "steps": 70}),
        ("a/b+c+thin:max_gaussians=5000", {"deblur_first": "a/b+c", "max_gaussians": 5000}),
        (
            "do {in} {out}+plain:deblur.sigma=2",
            {"deblur_first": "do {in} {out}", "deblur": replace(Options().deblur, sigma=2)},
        ),
    ],
)
def test_a_method_is_options(method, changed):
    lens = re.search(r"([a-z]+)(:|$)", method)
    assert lens is not None
    assert options_of(method, BASE) == replace(BASE, lens=lens[1], **changed)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("blur", "blur is not a method"),
        ("blurnet:dpth=raw", "no option dpth .blurnet has .*depth"),
        ("blurnet:depth", "says no value"),
        ("blurnet:depth=deep", "is nothing that `macrosplat reconstruct` takes"),
        ("blurnet:channels=0", "--blurnet.channels is 0"),
        ("plain:seed=3", "no option seed"),
        ("plain:lens=focus", "no option lens"),
    ],
)
def test_what_is_no_method_is_said_in_a_sentence(method, words):
    with pytest.raises(MacrosplatError, match=words):
        options_of(method, BASE)


def test_folders_of_methods():
    assert folder_of("richardson-lucy+plain") == "richardson-lucy+plain"
    assert folder_of("blurnet:depth=raw") == "blurnet.depth=raw"
    odd = ["/a/b+plain", "/a_b+plain", "/a b+plain", "x" * 200 + "+plain", "x" * 201 + "+plain"]
    assert len({folder_of(method) for method in odd}) == len(odd)
    assert all(re.fullmatch(r"[A-Za-z0-9+=.,_-]{1,100}", folder_of(method)) for method in odd)


def test_something_twice_is_refused():
    for captures, methods, seeds in (
        (["a/x", "b/x"], ["plain"], [0]),
        (["x"], ["plain", "plain"], [0]),
        (["x"], ["plain"], [1, 1]),
        (["x"], [], [0]),
    ):
        with pytest.raises(MacrosplatError):
            cells_of([Path(c) for c in captures], methods, seeds, Path("out"), BASE)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("captures") / "sheet", made(), colmap=False)


@pytest.fixture
def inside(monkeypatch):
    """Cells run in this process, one by one; returns what was begun."""
    begun: list[str] = []

    def start(task, threads):
        begun.append(task.name)
        code = 0
        try:
            cell.main(json.loads(json.dumps(task.asked)))
        except MacrosplatError as error:
            task.log.parent.mkdir(parents=True, exist_ok=True)
            task.log.write_text(f"macrosplat: {error}\n")
            code = 2
        return types.SimpleNamespace(returncode=code, poll=lambda: code)

    monkeypatch.setattr(grid, "_start", start)
    monkeypatch.setattr(grid, "LOOK_EVERY", 0)
    monkeypatch.setattr(finish, "VIEWER_STEPS", 2)
    monkeypatch.setattr("macrosplat.pipeline._page", lambda *_: None)
    monkeypatch.setattr(sfm, "triangulate", lambda *_, **__: made().points)  # has its own tests
    return begun


def compare(capture: Path, out: Path, *words: str) -> int:
    return cli.main(["compare", str(capture), "--out", str(out), *WORDS, *words])


def test_each_cell_is_run_once_and_the_tables_hold_what_it_found(capture, inside, tmp_path, capsys):
    methods = ("--methods", "plain", "blurnet:stages=one")
    assert compare(capture, tmp_path, *methods) == 0
    assert inside == ["cameras of sheet", "sheet plain seed 0", "sheet blurnet:stages=one seed 0"]
    assert compare(capture, tmp_path, *methods, "--seeds", "0", "1") == 0
    assert inside[3:] == ["sheet plain seed 1", "sheet blurnet:stages=one seed 1"]  # the cameras are there, too
    capsys.readouterr()
    assert compare(capture, tmp_path, *methods, "--seeds", "0", "1") == 0 and len(inside) == 5
    said = capsys.readouterr().out

    runs = [tmp_path / "sheet" / "plain" / seed for seed in "01"]
    same = {(run / "sparse" / "0" / "points3D.bin").read_bytes() for run in [*runs, tmp_path / "sheet" / "cameras"]}
    assert len(same) == 1
    found = [json.loads((run / "evaluation.json").read_text())["means"] for run in runs]
    psnr = [means["deblurred photos"]["frame"]["psnr"] for means in found]
    flip = [means["novel views"]["frame"]["flip"] for means in found]
    text = (tmp_path / "comparison.md").read_text()
    assert f"{fmean(psnr):.2f} ± {stdev(psnr):.2f}" in text and f"{fmean(psnr):.2f} ± {stdev(psnr):.2f}" in said
    assert f"{fmean(flip):.4f} ± {stdev(flip):.4f}" in text
    taken = found[0]["input photos"]["frame"]["psnr"]
    assert f"| photos as taken | {taken:.2f} |" in text
    sharpness = fmean(means["deblurred photos"]["fine"]["sharpness"] for means in found)
    assert "sharpness | likeness |" in text and f" | {sharpness:.3f} | " in text
    lines = (tmp_path / "comparison.csv").read_text().splitlines()
    row = next(line.split(",") for line in lines if line.startswith("sheet,plain,1,deblurred photos,frame"))
    assert float(row[5]) == pytest.approx(psnr[1], abs=1e-3)
    picture = Image.open(tmp_path / "comparison.png")
    assert picture.width > 3 * 240 and len(np.unique(np.asarray(picture.convert("L")))) > 50
    assert len(list((runs[0] / "novel").iterdir())) == len(made().photos)

    assert compare(capture, tmp_path, *methods, "--quality", "draft") == 2  # these runs are of other options
    assert "was begun with --quality standard" in capsys.readouterr().err


def test_one_that_fails_keeps_no_other_from_running(capture, inside, tmp_path, capsys, monkeypatch):
    assert compare(capture, tmp_path, "--collect") == 2
    assert "holds no finished cell yet" in capsys.readouterr().err and not inside
    reconstruct = cell.main

    def failing(asked):
        if asked.get("method") == "thin":
            raise MacrosplatError("the lens fell off.")
        reconstruct(asked)

    monkeypatch.setattr(cell, "main", failing)
    assert compare(capture, tmp_path, "--methods", "thin", "plain") == 2
    assert "sheet thin seed 0 failed: the lens fell off." in capsys.readouterr().err
    text = (tmp_path / "comparison.md").read_text()
    assert "`plain`" in text and "Not finished: sheet thin seed 0." in text
    assert compare(capture, tmp_path, "--methods", "thin", "plain", "--collect") == 0
    assert "`plain`" in capsys.readouterr().out


def test_an_interrupted_cell_goes_on(capture, inside, tmp_path, monkeypatch):
    from macrosplat.train.trainer import Trainer

    assert compare(capture, tmp_path / "whole", "--methods", "plain") == 0
    taken = Trainer.step

    def stepping(self):
        if self.done == 3:
            raise KeyboardInterrupt
        return taken(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stepping)
        assert compare(capture, tmp_path / "again", "--methods", "plain") == 130
    assert compare(capture, tmp_path / "again", "--methods", "plain") == 0
    one, other = (
        json.loads((tmp_path / name / "sheet" / "plain" / "0" / "evaluation.json").read_text())["photos"]
        for name in ("whole", "again")
    )
    assert one == other


def test_a_capture_without_truth(capture, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for path in (capture / "photos").iterdir():
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    assert compare(tmp_path, tmp_path / "out") == 2
    assert "nothing to compare with" in capsys.readouterr().err


def test_a_process_of_its_own_ends_with_a_sentence(tmp_path, monkeypatch):
    """The real thing: another Python, its words in a log."""
    task = grid.Task("a cell", tmp_path / "deep" / "0.log", {"capture": str(tmp_path / "no"), "options": {}})
    process = grid._start(replace(task, asked={**task.asked, "cameras": "c", "options": asdict(Options())}), 1)
    assert isinstance(process, subprocess.Popen) and process.wait(120) == 2
    assert str(tmp_path / "no") in grid._last_words(task.log) and "Traceback" not in task.log.read_text()


def test_options_survive_the_way_to_a_cell():
    options = options_of("blurnet:depth=raw,steps=3", BASE)
    assert msgspec.convert(json.loads(json.dumps(asdict(options))), Options) == options

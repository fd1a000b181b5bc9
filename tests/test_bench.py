"""The benchmark runs, counts and prints. Times are not looked at: they belong to the machine."""

import io
import json
import math

import pytest
import torch
from numba.core.dispatcher import Dispatcher

from macrosplat import bench
from macrosplat.bench import Rates, Size, end_to_end, first_steps
from macrosplat.lens import blur_cpu, coc_cpu
from macrosplat.lens.coc import defocus
from macrosplat.loading import take_first_steps
from macrosplat.render import bins_cpu, over_cpu, project_cpu, rasterize_cpu, render, surface_cpu
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.progress import Progress
from macrosplat.train import adam_cpu, loss_cpu

TINY = Size(gaussians=300, width=64, height=48, degree=1)


def test_every_stage_is_measured():
    found = bench.measure(TINY, Rates(flops=1e11, bytes=1e10), repeats=1)
    assert [name for name, _, _ in found] == [
        *("project", "rasterize", "blur", "defocus + blur", "loss", "adam"),
        *("step, 1 aperture sample", "step, 4 aperture samples"),
    ]
    assert all(math.isfinite(seconds) and seconds > 0 and least > 0 for _, seconds, least in found)
    floors = {name: least for name, _, least in found}
    once = floors["loss"] + floors["adam"]
    whole = floors["step, 1 aperture sample"]
    assert math.isclose(floors["step, 4 aperture samples"] - once, 4 * (whole - once))


def test_the_floor_is_the_longer_of_traffic_and_arithmetic():
    rates = Rates(flops=100.0, bytes=10.0)
    assert rates.floor(20.0, 100.0) == 2.0
    assert rates.floor(20.0, 500.0) == 5.0


def test_the_scene_is_what_it_says():
    setting = bench.make_setting(TINY)
    again = bench.make_setting(TINY)
    pairs = zip(setting.gaussians.tensors().values(), again.gaussians.tensors().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    depth = setting.gaussians.means[:, 2]
    nearest = torch.full((1, 1), bench.DISTANCE - bench.DEPTH)
    lens = (torch.tensor(v) for v in (setting.pupil, bench.DISTANCE, 1e-6))
    sigma = defocus(nearest, torch.ones(1, 1), torch.tensor(setting.pinhole.fx), *lens)
    assert math.isclose(float(sigma), TINY.width / 80, rel_tol=1e-4)
    assert float((depth - bench.DISTANCE).abs().max()) <= bench.DEPTH
    drawn = render(bench.make_setting(Size(3000, 64, 48, 0)).gaussians, setting.pinhole.at(torch.eye(4)))
    assert float(drawn.alpha.mean()) > 0.5  # it fills most of the frame


def test_a_step_improves_and_the_tables_are_printed(monkeypatch, capsys, tmp_path):
    trainer = bench.make_trainer(bench.make_setting(TINY), samples=1)
    losses = [float(trainer.step()) for _ in range(20)]
    assert losses[-1] < losses[0]
    monkeypatch.setattr(bench, "SIZES", (TINY,))
    monkeypatch.setattr(bench, "calibrate", lambda: Rates(1e11, 1e10))
    bench.main("cpu", profile=tmp_path / "trace.json", figures=tmp_path / "one.json")
    said = capsys.readouterr().out
    assert "rasterize" in said and "GFLOP/s" in said and "Peak memory" in said
    assert "traceEvents" in (tmp_path / "trace.json").read_text()
    was = json.loads((tmp_path / "one.json").read_text())
    for stages in was["ms"].values():
        stages["loss"] *= 2
    (tmp_path / "two.json").write_text(json.dumps(was))
    (said,) = bench.slower(tmp_path / "one.json", tmp_path / "two.json")
    assert "loss" in said and "2.00 times" in said
    assert bench.slower(tmp_path / "two.json", tmp_path / "one.json") == []


def test_a_whole_run_is_measured_by_stage(monkeypatch, capsys, tmp_path):
    """With a stand-in for the run, which says what a run says."""

    def reconstruct(capture, out, options, shown):
        assert (capture / "photos").is_dir() and options.device == "cpu" and not out.exists()
        with Progress(io.StringIO(), more=shown) as progress:
            for name in ("reading photos", "training", "reading photos"):
                progress.stage(name)

    monkeypatch.setattr("macrosplat.pipeline.reconstruct", reconstruct)
    bench.main("cpu", figures=tmp_path / "run.json", whole_run=True)
    assert "reading photos" in capsys.readouterr().out
    (stages,) = json.loads((tmp_path / "run.json").read_text())["ms"].values()
    assert list(stages) == [end_to_end.BEFORE, "reading photos", "training", end_to_end.WHOLE]
    assert math.isclose(sum(stages.values()), 2 * stages[end_to_end.WHOLE], rel_tol=0.5, abs_tol=1.0)
    with pytest.raises(MacrosplatError, match="--end-to-end"):
        bench.main("cpu", scaling=True, whole_run=True)


def test_calibration_measures_something():
    rates = bench.calibrate(cells=1 << 12)
    assert rates.flops > 0 and rates.bytes > 0


def test_first_steps_compile_all_that_a_run_calls():
    """In a file of kernels, what no other kernel calls is called by a run."""
    take_first_steps(torch.device("cpu"), first_steps.SAMPLES, 1)
    for module in (project_cpu, rasterize_cpu, bins_cpu, over_cpu, surface_cpu, coc_cpu, blur_cpu, loss_cpu, adam_cpu):
        kernels = {name: one for name, one in vars(module).items() if isinstance(one, Dispatcher)}
        for name, kernel in kernels.items():
            if not kernel.targetoptions["no_cpython_wrapper"] and kernel.targetoptions["inline"] != "always":
                assert kernel.signatures, f"{module.__name__}.{name}"

"""Checkpoints: what goes in comes out, to the bit; what is damaged is said in one sentence."""

import errno
import pickle

import pytest
import torch

from macrosplat.support.errors import MacrosplatError
from macrosplat.train import checkpoint
from macrosplat.train.log import Log
from making_training import make_trainer

NAMES = tuple("abcdef")


def test_round_trip(tmp_path):
    trainer, start = make_trainer(steps=40, refine_poses=True)
    for _ in range(25):
        trainer.step()
    checkpoint.save(tmp_path / "checkpoint", trainer, NAMES, start)
    state = checkpoint.load(tmp_path / "checkpoint")
    assert (state.done, state.start, state.pixel, state.names) == (25, trainer.start, trainer.pixel, NAMES)
    assert state.model.rig.frames == trainer.model.rig.frames
    saved, here = state.model.parameters(), trainer.model.parameters()
    assert saved.keys() == here.keys() and all(torch.equal(saved[name], here[name]) for name in here)
    assert state.model.estimate() == trainer.model.estimate()
    for one, other in zip(state.model.cameras(), trainer.model.cameras(), strict=True):
        assert torch.equal(one.view, other.view) and torch.equal(one.intrinsics, other.intrinsics)
    for kind in ("first", "second"):
        assert all(torch.equal(state.adam[kind][name], getattr(trainer.adam, kind)[name]) for name in here)
    assert state.adam["counts"] == trainer.adam.counts
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_missing(tmp_path):
    with pytest.raises(MacrosplatError, match="holds no run"):
        checkpoint.load(tmp_path / "checkpoint")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoint"
    trainer, start = make_trainer(steps=10)
    checkpoint.save(path, trainer, NAMES, start)
    return path.read_bytes()


def without(content: bytes, tmp_path, **changed) -> bytes:
    path = tmp_path / "other"
    path.write_bytes(content)
    state = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in {**state, **changed}.items() if value is not None}, path)
    return path.read_bytes()


def whole_numbers(content: bytes, tmp_path) -> bytes:
    path = tmp_path / "other"
    path.write_bytes(content)
    state = torch.load(path, weights_only=True)
    return without(content, tmp_path, gaussians={**state["gaussians"], "means": state["gaussians"]["means"].int()})


@pytest.mark.parametrize(
    "damage",
    [
        lambda c, _: b"",
        lambda c, _: c[:100],
        lambda c, _: c[: len(c) // 2],
        lambda c, _: c[: len(c) // 2] + 64 * b"\x55" + c[len(c) // 2 + 64 :],
        lambda c, _: b"hello world, this is no checkpoint",
        lambda c, _: pickle.dumps([1, 2, 3]),
        lambda c, folder: without(c, folder, adam=None),
        lambda c, folder: without(c, folder, lens={"name": "telescope", "start": {}}),
        lambda c, folder: without(c, folder, exposure=torch.zeros((3, 3), dtype=torch.int64)),
        whole_numbers,
    ],
    ids=["empty", "head", "half", "scratch", "text", "list", "no-adam", "other-lens", "whole", "whole-means"],
)
def test_damaged_is_one_sentence(content, damage, tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(damage(content, tmp_path))
    with pytest.raises(MacrosplatError, match=r"checkpoint is damaged and cannot be read; reconstruct into a new fol"):
        checkpoint.load(path)


def test_other_version(content, tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(without(content, tmp_path, version=checkpoint.VERSION + 1))
    with pytest.raises(MacrosplatError, match="another version"):
        checkpoint.load(path)


def test_the_last_version_is_gone_on_with(tmp_path):
    """Without what lenses learn since: the same model, and a trainer that steps on as if it had never been there."""
    path = tmp_path / "checkpoint"
    trainer, start = make_trainer(steps=12)
    for _ in range(4):
        trainer.step()
    checkpoint.save(path, trainer, NAMES, start)
    now, state = checkpoint.load(path), torch.load(path, weights_only=True)
    younger = [name for name in state["lens_parameters"] if name.startswith(("lens.colour", "lens.vignetting"))]
    assert younger
    for part in (state["lens_parameters"], *state["adam"].values()):
        for name in younger:
            del part[name]
    state["lens"]["start"]["settings"].pop("aberrations", None)
    torch.save(state | {"version": 4}, path)
    before = checkpoint.load(path)
    saved, here = before.model.parameters(), now.model.parameters()
    assert saved.keys() == here.keys() and all(torch.equal(saved[name], here[name]) for name in here)
    fits = []
    for found in (now, before):
        again, _ = make_trainer(steps=12)
        again.model, again.adam.parameters = found.model, dict(found.model.parameters())
        checkpoint.resume(again, found)
        fits.append(again.adam.state_dict())
    assert fits[0]["first"].keys() == fits[1]["first"].keys() and fits[0]["counts"] == fits[1]["counts"]
    torch.save(state | {"version": 3}, path)
    with pytest.raises(MacrosplatError, match="another version"):
        checkpoint.load(path)


def test_a_pupil_in_scene_units_becomes_one_that_goes_with_the_focal_length(tmp_path):
    """Version 5 held the pupil itself, and knew no breathing and no curved field."""
    path = tmp_path / "checkpoint"
    trainer, start = make_trainer(steps=12, refine_poses=True)
    with torch.no_grad():
        trainer.model.rig.parameters["pose.focal"].fill_(0.03)
    checkpoint.save(path, trainer, NAMES, start)
    found = checkpoint.load(path).model.estimate()
    assert found is not None
    state = torch.load(path, weights_only=True)
    for part in (state["lens_parameters"], state["rig_parameters"], *state["adam"].values()):
        for name in [n for n in part if n.startswith(("lens.curvature", "lens.lateral", "pose.breathing"))]:
            del part[name]
    state["lens_parameters"]["lens.pupil"] = torch.tensor(found.pupil_diameter).log()
    torch.save(state | {"version": 5}, path)
    older = checkpoint.load(path).model.estimate()
    assert found is not None and older is not None
    assert older.pupil_diameter == pytest.approx(found.pupil_diameter, rel=1e-6)
    assert older.focus_distances == found.focus_distances


def test_full_disk_keeps_the_old_one(content, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    trainer, start = make_trainer(steps=10)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(MacrosplatError, match="disk is full"):
        checkpoint.save(path, trainer, NAMES, start)
    assert path.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


def test_a_log_keeps_the_lines_that_are_whole_and_of_steps_taken(tmp_path):
    path = tmp_path / "log.jsonl"
    good = [b'{"step": 1, "loss": 0.5}', b'{"step": 2, "loss": 0.4}']
    odd = [b"\xbe\xff", b"[1]", b'{"step": "2"}', b'{"step": null}', b"[" * 100_000, b'{"loss": 1}', b'{"step": 1']
    path.write_bytes(b"\n".join([*good, *odd, b'{"step": 3, "loss": 0.3}']))
    with Log(path, 2):
        pass
    assert path.read_bytes() == b"\n".join(good) + b"\n"

"""The width that photos are trained at by itself."""

from __future__ import annotations

import math

import pytest
import torch

from macrosplat.support.threads import speed_of
from macrosplat.train import working_size
from macrosplat.train.working_size import LEAST, working_width

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def width_of(sizes: list[tuple[int, int]], device: torch.device = CPU) -> int:
    return working_width(sizes, device, "standard", None, 8)


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_size, "available", lambda: 8e9)
    monkeypatch.setattr(working_size, "CORES", 2)


def test_small_photos_keep_their_size() -> None:
    assert width_of([(96, 72)] * 6) == 96 and width_of([(480, 360)] * 30) == 480


def test_the_work_is_the_same_whatever_the_photos_size_and_shape() -> None:
    for size in [(1920, 1440), (6000, 4000), (4000, 6000), (9000, 3000)]:
        width = width_of([size] * 40)
        assert width * width * size[1] / size[0] == pytest.approx(working_size.OF_TWO_CORES, rel=0.12)


def test_more_cores_and_a_gpu_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    two, gpu = width_of([(6000, 4000)]), width_of([(6000, 4000)], CUDA)
    monkeypatch.setattr(working_size, "CORES", 8)
    assert two < width_of([(6000, 4000)]) < gpu
    assert width_of([(6000, 4000)]) == pytest.approx(two * math.sqrt(speed_of(8) / speed_of(2)), abs=16)


def test_little_memory_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = width_of([(6000, 4000)])
    monkeypatch.setattr(working_size, "available", lambda: 0.75e9)
    assert LEAST <= width_of([(6000, 4000)]) < whole
    monkeypatch.setattr(working_size, "available", lambda: 1.0)
    assert width_of([(6000, 4000)]) == LEAST  # which `check_memory` then refuses

"""Which device is chosen: a GPU only where its kernels can run."""

import importlib.util

import pytest
import torch

from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without a CUDA GPU and Triton."""

    def make(gpu: bool, triton: bool) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: (triton or None) if name == "triton" else find(name, *rest)
        )

    return make


@pytest.mark.parametrize(
    ("gpu", "triton", "asked", "chosen"),
    [
        (True, True, "auto", "cuda"),
        (True, True, "cuda", "cuda"),
        (True, True, "cpu", "cpu"),
        (False, True, "auto", "cpu"),
        (True, False, "cpu", "cpu"),
    ],
)
def test_a_gpu_is_used_where_it_can_be(machine, gpu, triton, asked, chosen):
    machine(gpu, triton)
    said: list[str] = []
    assert choose(asked, said.append).type == chosen and said == []


def test_without_triton_the_cpu_computes_and_says_so_once(machine, capsys):
    machine(gpu=True, triton=False)
    said: list[str] = []
    assert choose("auto", said.append).type == "cpu"
    assert len(said) == 1 and "Triton is not installed" in said[0]
    assert choose("auto").type == "cpu" and "Triton" in capsys.readouterr().err


def test_what_was_asked_for_and_cannot_be_had_is_said(machine):
    machine(gpu=True, triton=False)
    with pytest.raises(MacrosplatError, match="Triton"):
        choose("cuda")
    machine(gpu=False, triton=True)
    with pytest.raises(MacrosplatError, match="no CUDA GPU"):
        choose("cuda")

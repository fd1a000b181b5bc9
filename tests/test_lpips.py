"""LPIPS by its definition, with random weights; files that cannot be used are one sentence."""

import numpy as np
import pytest
import torch

from macrosplat.evaluate.lpips import LAYERS, load_lpips
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.metrics import compare


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    alexnet, linear = {}, {}
    for n, (place, outputs, inputs, kernel, _, _) in enumerate(LAYERS):
        deviation = (2 / (inputs * kernel**2)) ** 0.5
        alexnet[f"features.{place}.weight"] = deviation * torch.randn(outputs, inputs, kernel, kernel, generator=random)
        alexnet[f"features.{place}.bias"] = 0.1 * torch.randn(outputs, generator=random)
        linear[f"lin{n}.model.1.weight"] = torch.rand(1, outputs, 1, 1, generator=random)
    torch.save(alexnet, folder / "alexnet.pth")
    torch.save(linear, folder / "alex.pth")
    return [folder / "alexnet.pth", folder / "alex.pth"], alexnet, linear


def test_the_mean_of_the_map_is_the_definition(files):
    """Zhang et al. 2018, eq. 1, with torchvision's AlexNet written as its list of layers."""
    paths, alexnet, linear = files
    random = np.random.default_rng(1)
    test, truth = random.uniform(size=(2, 72, 96, 3))
    relu, pool = torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2)
    features: list[torch.nn.Module] = []
    for place, outputs, inputs, kernel, stride, pad in LAYERS:
        convolution = torch.nn.Conv2d(inputs, outputs, kernel, stride, pad)
        convolution.load_state_dict({part: alexnet[f"features.{place}.{part}"] for part in ("weight", "bias")})
        features += [convolution, relu]
        if place in (0, 3):
            features.append(pool)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def units(photo):
        x = ((torch.from_numpy(photo).float() * 2 - 1 - shift) / scale).permute(2, 0, 1)[None]
        out = []
        for layer in features:
            x = layer(x)
            if layer is relu:
                out.append(x / x.norm(dim=1, keepdim=True))
        return out

    with torch.no_grad():
        wanted = sum(
            float((w * (a - b) ** 2).sum(1).mean())
            for w, a, b in zip(linear.values(), units(test), units(truth), strict=True)
        )
    distance = load_lpips(paths)
    assert float(distance(test, truth).mean()) == pytest.approx(wanted, rel=1e-4)
    assert float(np.abs(distance(test, test)).max()) == 0
    scores = compare(test, truth, np.ones((72, 96), bool), distance)
    assert scores.mask is not None and scores.frame.lpips == scores.mask.lpips == pytest.approx(wanted, rel=1e-4)
    assert compare(test, truth).frame.lpips is None


def test_files_that_cannot_be_used(files, tmp_path):
    paths, _, _ = files
    with pytest.raises(MacrosplatError, match=r"no\.pth does not exist"):
        load_lpips([tmp_path / "no.pth"])
    (tmp_path / "note.pth").write_text("hello")
    with pytest.raises(MacrosplatError, match="cannot be read as weights"):
        load_lpips([tmp_path / "note.pth"])
    with pytest.raises(MacrosplatError, match=r"no lin0\.model\.1\.weight"):
        load_lpips(paths[:1])

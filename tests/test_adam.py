"""Adam against torch's own, and its state under surgery."""

import copy
import threading

import pytest
import torch

from macrosplat.train.adam import Adam

SHAPES = {"means": (1000, 3), "harmonics": (1000, 15, 3), "pupil": ()}
RATES = {"means": 1e-3, "harmonics": 2e-2, "pupil": 0.1}


def make(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return {name: torch.randn(shape, dtype=dtype, requires_grad=True) for name, shape in SHAPES.items()}


def gradients(step, dtype=torch.float32, scale=1e-4):
    generator = torch.Generator().manual_seed(step)
    return {name: scale * torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


# float32: 50 steps, each rounded to half a unit in the last place of numbers below 5 (2.4e-7)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1.2e-5), (torch.float64, 1e-12)])
def test_follows_torch(dtype, tolerance):
    ours, theirs = make(dtype), make(torch.float64)
    if dtype == torch.float32:
        theirs = {name: p.detach().double().requires_grad_() for name, p in make().items()}
    adam = Adam(ours, RATES)
    other = torch.optim.Adam([{"params": [p], "lr": RATES[n]} for n, p in theirs.items()], eps=1e-15)
    for step in range(50):
        grads = gradients(step, dtype)
        for name, p in theirs.items():
            p.grad = grads[name].double()
        adam.step(grads)
        other.step()
    for name in SHAPES:
        torch.testing.assert_close(ours[name].double(), theirs[name], atol=tolerance, rtol=tolerance)


def test_first_step_is_the_rate_whatever_the_gradient():
    parameters = make()
    before = {name: p.detach().clone() for name, p in parameters.items()}
    Adam(parameters, RATES).step({name: torch.full(shape, 1e-9) for name, shape in SHAPES.items()})
    for name in SHAPES:
        torch.testing.assert_close(before[name] - parameters[name].detach(), torch.full(SHAPES[name], RATES[name]))


def test_without_gradient_nothing_moves():
    parameters = make()
    adam = Adam(parameters, RATES)
    before = parameters["means"].detach().clone()
    adam.step({"means": None})
    assert torch.equal(before, parameters["means"]) and adam.counts["means"] == 0


def test_rows_of_the_state_follow_the_rows_of_the_scene():
    one, two = make(), make()
    adam, sorted_adam = Adam(one, RATES), Adam(two, RATES)
    adam.step(gradients(0))
    sorted_adam.step(gradients(0))
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(3))
    new = {name: two[name].detach()[order].requires_grad_() for name in ("means", "harmonics")}
    sorted_adam.remap(new, order)
    for step in (1, 2):
        grads = gradients(step)
        adam.step(grads)
        sorted_adam.step({name: g[order] if g.ndim else g for name, g in grads.items()})
    for name in ("means", "harmonics"):
        assert torch.equal(one[name][order], new[name])
    assert torch.equal(one["pupil"], two["pupil"])


def test_fresh_rows_start_empty_and_others_grow():
    parameters = make()
    adam = Adam(parameters, RATES)
    adam.step(gradients(0))
    source = torch.cat([torch.arange(1000), torch.tensor([5, 7])])
    fresh = torch.zeros(1002, dtype=torch.bool)
    fresh[[5, 1000]] = True
    old = adam.first["means"].clone()
    adam.remap({"means": parameters["means"].detach()[source]}, source, fresh)
    assert adam.first["means"].shape == (1002, 3)
    assert not adam.first["means"][[5, 1000]].any() and not adam.second["means"][[5, 1000]].any()
    assert torch.equal(adam.first["means"][1001], old[7]) and torch.equal(adam.first["means"][:5], old[:5])
    with pytest.raises(AssertionError, match="rows"):
        adam.remap({"means": parameters["means"].detach()}, source)


def test_resumes_to_the_same_bits(tmp_path):
    one = make()
    adam = Adam(one, RATES)
    for step in range(3):
        adam.step(gradients(step))
    adam.rates["means"] = 5e-4
    torch.save(adam.state_dict(), tmp_path / "state")
    two = {name: copy.deepcopy(p.detach()) for name, p in one.items()}
    again = Adam(two, RATES)
    again.load_state_dict(torch.load(tmp_path / "state"))
    for step in range(3, 6):
        adam.step(gradients(step))
        again.step(gradients(step))
    assert all(torch.equal(one[name], two[name]) for name in SHAPES)


def test_two_threads_give_the_bits_of_one():
    def run(parameters):
        adam = Adam(parameters, RATES)
        for step in range(10):
            adam.step(gradients(step))

    alone, left, right = make(), make(), make()
    run(alone)
    threads = [threading.Thread(target=run, args=(p,)) for p in (left, right)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in SHAPES:
        assert torch.equal(alone[name], left[name]) and torch.equal(alone[name], right[name])


def test_not_a_number_is_not_hidden():
    parameters = make()
    grads = gradients(0)
    grads["means"][3, 1] = float("nan")
    Adam(parameters, RATES).step(grads)
    assert parameters["means"][3, 1].isnan() and parameters["means"].isnan().sum() == 1

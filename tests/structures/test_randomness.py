"""Draws that are a function of their name and numbers."""

import random

import numpy as np
import torch

from cream_mm.structures.randomness import named_rng, seed_generators, weights_drawn


def draw():
    return np.random.rand(), random.random(), float(torch.rand(()))


def test_named_generators_are_independent():
    streams = [
        named_rng(name, seed, step).integers(2**60)
        for name in ('path', 'meta', 'rating') for seed in (0, 1, 2) for step in (0, 1, 2, 2**40)
    ]  # fmt: skip
    assert len(set(streams)) == len(streams)
    assert named_rng('path', 5, 7).integers(2**60) == named_rng('path', 5, 7).integers(2**60)


def test_a_function_of_the_name_and_numbers():
    def of(*args):
        seed_generators(*args)
        return draw()

    assert of('sample', 0, 1, 2) == of('sample', 0, 1, 2)
    others = [of('step', 0, 1, 2), of('sample', 1, 1, 2), of('sample', 0, 2, 1), of('sample', 0, 1)]
    everything = {of('sample', 0, 1, 2), *others}
    assert len(everything) == 5
    assert len({value for draws in everything for value in draws}) == 15


def test_without_devices_the_cpu_draws_the_same():
    seed_generators('sample', 0, 1, 2)
    expected = draw()
    seed_generators('sample', 0, 1, 2, devices=False)
    assert draw() == expected


def test_weights_are_drawn_beside_all_generators(monkeypatch):
    """Those of GPUs, too, which fork_rng of the CPU alone would leave seeded."""
    seeded = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeded.append)
    torch.manual_seed(1)
    expected = draw()[2]
    torch.manual_seed(5)
    weight = torch.nn.Linear(3, 2).weight
    torch.manual_seed(1)
    assert seeded == [1, 5, 1]
    with torch.device('meta'), weights_drawn(5):
        ours = torch.nn.Linear(3, 2).weight
    assert torch.equal(ours, weight) and ours.device.type == 'cpu'
    assert draw()[2] == expected and seeded == [1, 5, 1]

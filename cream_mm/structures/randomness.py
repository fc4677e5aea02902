"""Named random generators: each draw a function of what is drawn, not of what was drawn before."""

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def named_rng(name: str, seed: int, step: int) -> np.random.Generator:
    """Generator that is a function of (name, seed, step) alone: equal on every rank and resume."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed, step])


def seed_generators(name: str, *numbers: int, devices: bool = True) -> None:
    """Seed numpy, Python's random and torch as a function of (name, numbers) alone.

    Args:
        name (str): What is drawn.
        *numbers (int): Which of them.
        devices (bool): Also seed torch's generators of GPUs. Without one, that only notes two
            stack traces for later, which takes 20 times as long as everything else here. Defaults
            to True.
    """
    entropy = [zlib.crc32(name.encode()), *numbers]
    seeds = np.random.SeedSequence(entropy).generate_state(3).tolist()
    np.random.seed(seeds[0])
    random.seed(seeds[1])
    (torch.manual_seed if devices else torch.default_generator.manual_seed)(seeds[2])


@contextmanager
def weights_drawn(seed: int) -> Iterator[None]:
    """Modules made here are on the CPU, with weights that are a function of ``seed`` alone.

    Afterwards all generators are as before; ``torch.manual_seed`` would leave those of GPUs seeded.
    """
    with torch.random.fork_rng(devices=[]), torch.device('cpu'):
        torch.default_generator.manual_seed(seed)
        yield

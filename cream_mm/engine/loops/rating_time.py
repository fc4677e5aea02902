"""How long the ratings at the end of a search take, told before its training."""

import math
from time import perf_counter
from typing import Any

from mmengine.registry import DATASETS

from ...search import PathSampler
from ..stage import share_to_time
from .supernet_val_loop import FAR_STEP

NUM_TIMED = 3  # paths, after one that is not counted
SPREAD = 0.25
"""Relative half-width: paths that share layers, or are named twice, make it less."""


def time_a_rating(loop: Any) -> tuple[float, float]:
    """Seconds to read the images that paths are rated on, and to rate one.

    Some random paths are rated, each alone, on a share of the images. Nothing is recorded.

    Args:
        loop (SearchLoop): Of a run that could train.
    """
    args, space, budget = loop.evaluator_args, loop.supernet.space, loop.budget
    number = min(args['num_images'] or math.inf, len(loop.dataloader.dataset))
    num_bn = min(args['num_bn_images'], len(DATASETS.build(loop.bn_dataset)))
    sampler = PathSampler(space, budget, seed=loop.runner.seed)
    archs = [sampler.sample(FAR_STEP + i) for i in range(1 + NUM_TIMED)]

    def run(share: float) -> tuple[float, float, float]:
        start = perf_counter()
        sizes = [max(2, round(share * size)) for size in (number, num_bn)]
        evaluator = loop.build_evaluator(num_images=sizes[0], num_bn_images=sizes[1], log_file=None)
        evaluator.fingerprint()  # reads all of them
        read = perf_counter() - start
        evaluator.rate(archs[0])
        start = perf_counter()
        for arch in archs[1:]:
            evaluator.rate(arch)
        return read, (perf_counter() - start) / NUM_TIMED, evaluator.kept_bytes

    is_fitted = args['bn_policy'] == 'recalibrate'
    (read, each, kept), share = share_to_time(run, number + num_bn * is_fitted)
    # Images beyond what memory keeps are read again for each path.
    again = max(0.0, 1 - args['keep_gb'] * 2**30 / max(kept / share, 1))
    return read / share, (each + again * read) / share

"""From the board to the answer: rates its paths on held-out images and writes the best one."""

import itertools
import time
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.registry import DATASETS
from mmengine.runner import BaseLoop

from ...arch_file import arch_content, run_settings
from ...evaluation import ArchEvaluator
from ...registry import LOOPS
from ...utils import unwrap, write_json
from .supernet_train_loop import build_sampler

BOARD_FORMAT = 'cream_mm.board/1'


@LOOPS.register_module()
class BoardRatingLoop(BaseLoop):
    """Rates the board's paths, and random ones beside them, with recalibrated BN.

    Runs at the end of a search; ``tools/test.py CONFIG CHECKPOINT`` runs it again. The answer is
    the board's best-rated path, the cheaper one on a tie. The random paths cost little and show
    whether the board is better than chance.

    Writes into the work_dir:

    * ``board.json``: all rated paths, the board's in order.
    * ``best_arch.json``: architecture, space, costs, rating, budget, config and seed.
    * ``ratings.jsonl``: each rating as it is made, so that a run that was killed goes on with the
      next path. Ratings of other weights or images are not used.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Held-out images; its dataset, batch_size and num_workers count.
        evaluator (list): Asked for by mmengine; unused.
        bn_dataset (dict): Training images under the test pipeline, for BN recalibration.
        num_random (int): Random paths within the budget to rate as well. Defaults to 20.
        num_images (int, optional): Rate on at most this many images. None takes all.
        num_bn_images (int): Images for recalibration. Defaults to 2048.
        bn_policy (str): 'recalibrate' or 'batch_stats'. Defaults to 'recalibrate'.
        next_steps (dict, optional): Configs that ``tools/export_arch.py`` builds on, under the
            keys ``retrain`` and ``detector``.
    """

    def __init__(
        self,
        runner,
        dataloader,
        evaluator=None,
        *,
        bn_dataset: dict,
        num_random: int = 20,
        num_images: int | None = None,
        num_bn_images: int = 2048,
        bn_policy: str = 'recalibrate',
        next_steps: dict | None = None,
    ):
        super().__init__(runner, dataloader)
        self.model = unwrap(runner.model)
        self.bn_dataset = bn_dataset
        self.num_random = num_random
        self.next_steps = next_steps or {}
        self.evaluator_args = dict(
            num_images=num_images, num_bn_images=num_bn_images, bn_policy=bn_policy
        )

    def run(self) -> dict:
        """Rate, write, and return ``{'best/top1': ..., 'best/macs_m': ...}``."""
        runner, model = self.runner, self.model
        on_board = self.paths_of_the_board()
        candidates = on_board + self._random_paths(exclude=on_board)
        if not candidates:
            raise ValueError('nothing to rate: the board is empty and num_random is 0')
        if not on_board:
            outside = model.board is not None and len(model.board) > 0
            why = f'no path of the board has {model.budget}' if outside else 'the board is empty'
            mend = 'widen the budget' if outside else 'lower the warm-up of BoardHook'
            runner.logger.warning(
                f'{why}, so the answer is the best of the random paths. Train longer, or {mend}'
            )
        runner.logger.info(
            f'Rating {len(on_board)} paths of the board and {len(candidates) - len(on_board)} '
            f'random ones on held-out images ({model.budget})'
        )
        evaluator = self.build_evaluator()
        known = sum(evaluator.log.get(arch) is not None for arch in candidates)
        if known:
            runner.logger.info(f'{known} of them were rated before: taken from ratings.jsonl')
        start, count = time.time(), itertools.count(1)

        def progress(i, rating):
            done = next(count)
            eta = (time.time() - start) / done * (len(candidates) - done)
            macs = model.cost_model.cost(candidates[i]).macs / 1e6
            source = f'board {i + 1}' if i < len(on_board) else 'random'
            runner.logger.info(
                f'Rated [{done}/{len(candidates)}] top-1 {rating.top1_pct:.2f} %, '
                f'{macs:.2f} MMACs ({source})  eta: {int(eta) // 60}:{int(eta) % 60:02d}'
            )

        ratings = evaluator.rate_all(candidates, progress)
        rated = [
            self._record(arch, rating, 'board' if i < len(on_board) else 'random')
            for i, (arch, rating) in enumerate(zip(candidates, ratings))
        ]
        eligible = range(len(on_board) or len(candidates))
        best = max(eligible, key=lambda i: (rated[i]['top1_pct'], -rated[i]['macs_m']))
        if is_main_process():
            self._write(rated, candidates[best], ratings[best], evaluator.description)
        return {'best/top1': rated[best]['top1_pct'], 'best/macs_m': rated[best]['macs_m']}

    def build_evaluator(self, **kwargs) -> ArchEvaluator:
        """What rates the paths, with its record in the work_dir.

        Args:
            **kwargs: Arguments of :class:`ArchEvaluator` in place of this loop's.
        """
        loader, runner = self.dataloader, self.runner
        settings = dict(
            batch_size=loader.batch_size,
            num_workers=loader.num_workers,
            seed=runner.seed,
            log_file=Path(runner.work_dir) / 'ratings.jsonl',
            **self.evaluator_args,
        )
        bn_dataset = DATASETS.build(self.bn_dataset)
        return ArchEvaluator(self.model, loader.dataset, bn_dataset, **{**settings, **kwargs})

    def paths_of_the_board(self) -> list:
        """Each once, within the budget: what a board keeps beyond that depends on ``compat``."""
        board, budget = self.model.board, self.model.budget
        if board is None:
            return []
        paths = list(dict.fromkeys(entry.arch for entry in board.entries))
        return [arch for arch in paths if budget.is_feasible(arch)]

    def _random_paths(self, exclude: list) -> list:
        # Drawn as in training: choices that were trained more must not make the difference.
        cfg = (self.runner.cfg.get('train_cfg') or {}).get('sampler')
        sampler = build_sampler(self.runner, cfg, self.model.budget)
        paths = []
        # Steps beyond any training run's, so that these are not paths it was trained on last.
        for step in range(2**40, 2**40 + 10 * self.num_random):
            arch = sampler.sample(step)
            if len(paths) < self.num_random and arch not in exclude and arch not in paths:
                paths.append(arch)
        return paths

    def _record(self, arch, rating, source: str) -> dict:
        costs = self.model.cost_model.cost(arch).in_millions()
        return dict(
            arch=arch.to_list(),
            source=source,
            macs_m=costs['macs_m'],
            params_m=costs['params_m'],
            top1_pct=rating.top1_pct,
        )

    def _write(self, rated: list[dict], best, rating, bn_policy: str) -> None:
        runner, model = self.runner, self.model
        work_dir = Path(runner.work_dir)
        write_json(work_dir / 'board.json', board_content(model, rated))
        rating = dict(rating._asdict(), bn_policy=bn_policy)
        answer = answer_content(
            model, best, runner.cfg, rating=rating, seed=runner.seed, next_steps=self.next_steps
        )
        write_json(work_dir / 'best_arch.json', answer)
        runner.logger.info(
            f'Best path: {best}  top-1 {rating["top1_pct"]:.2f} % on {rating["num_images"]} '
            f'held-out images, {model.cost_model.cost(best).macs / 1e6:.2f} MMACs. Written to '
            f'{work_dir / "best_arch.json"}; cut its weights out with\n'
            f'  python tools/export_arch.py {work_dir / "best_arch.json"} --out '
            f'{work_dir / "export"}'
        )


def _preprocess(model) -> dict:
    """How the images were normalised, for whoever uses the network; None: not at all."""
    prep, mean, std = model.data_preprocessor, None, None
    if getattr(prep, '_enable_normalize', False):
        mean, std = (value.flatten().tolist() for value in (prep.mean, prep.std))
    return dict(mean=mean, std=std, to_rgb=getattr(prep, 'to_rgb', False))


def answer_content(
    model, arch, cfg, *, rating: dict | None = None, seed: int, next_steps: dict
) -> dict:
    """What ``best_arch.json`` holds; ``tools/export_arch.py`` goes on from there.

    Args:
        model (Cream): The supernet's classifier.
        arch (Arch): The path.
        cfg (Config): The search's config.
        rating (dict, optional): What is known of its quality.
        seed (int): The search's seed.
        next_steps (dict): See :class:`BoardRatingLoop`.
    """
    return arch_content(
        arch,
        model.cost_model,
        rating=rating,
        budget=model.budget.to_dict(),
        compat=model.compat.to_dict(),
        config=cfg.get('filename') or cfg.filename,
        seed=seed,
        data_root=cfg.get('data_root'),
        preprocess=_preprocess(model),
        next_steps=next_steps,
        **run_settings(cfg, model.backbone.norm_cfg),
    )


def board_content(model, rated: list[dict] | None = None) -> dict:
    """What ``board.json`` holds; ``rated`` once the paths were rated."""
    by_arch = {str(r['arch']): r['top1_pct'] for r in rated or []}
    entries = []
    for rank, entry in enumerate(model.board.entries if model.board is not None else []):
        costs = model.cost_model.cost(entry.arch).in_millions()
        nested = entry.arch.to_list()
        entries.append(
            dict(
                rank=rank,
                arch=nested,
                train_top1_pct=entry.score,
                macs_m=costs['macs_m'],
                params_m=costs['params_m'],
                top1_pct=by_arch.get(str(nested)),
            )
        )
    capacity = model.board.capacity if model.board is not None else 0
    return dict(
        format=BOARD_FORMAT,
        capacity=capacity,
        budget=model.budget.to_dict(),
        entries=entries,
        rated=rated or [],
    )

"""From the training to the answer: rates paths on held-out images and writes the chosen one."""

import itertools
import shlex
import time
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.registry import DATASETS
from mmengine.runner import BaseLoop

from ...evaluation import (
    ArchEvaluator,
    best_rated,
    first_not_vetoed,
    paired_difference,
    sampling_notes,
)
from ...evaluation.veto import ERRORS
from ...files import PATH_LOG, write_json
from ...files.answer_file import answer_content, rating_content
from ...files.arch_file import RULES
from ...files.board_file import board_content
from ...registry import LOOPS
from ...search import MainEffects, best_paths, training_effects, training_effects_until
from ..distributed import on_main_process, unwrap
from ..runner import local_file
from .supernet_train_loop import build_sampler


@LOOPS.register_module()
class BoardRatingLoop(BaseLoop):
    """Picks the path to go on with, and rates it beside others, with recalibrated BN.

    Runs at the end of a search; ``tools/test.py CONFIG CHECKPOINT`` runs it again.

    With ``compat.answer='effects'`` the answer is the path within the budget whose
    :func:`training_effects` are best, found exactly. It and the ``num_finalists - 1`` next best,
    the finalists, are rated; one that is rated worse than the best-rated finalist by more than
    two standard errors loses to the next. So ratings veto, and decide nothing alone: single
    ratings rank networks hardly better than MACs do, effects far better
    (docs/results/ranking.md). Where the training's log says too little, and with
    ``compat.answer='board'``, the answer is the best-rated path of the board.

    Ratings are compared by cross entropy. The board's paths and random ones are rated in any
    case; the random ones cost little and show whether the others are better than chance.

    Writes into the work_dir:

    * ``board.json``: all rated paths, the board's in order.
    * ``best_arch.json``: architecture, space, costs, rating, how it was chosen, budget, config
      and seed.
    * ``ratings.jsonl``: each rating as it is made, so that a run that was killed goes on with the
      next path. Ratings of other weights or images are not used.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Held-out images; its dataset, batch_size and num_workers count.
        evaluator (list): Asked for by mmengine; unused.
        bn_dataset (dict): Training images under the test pipeline, for BN recalibration.
        num_random (int): Random paths within the budget to rate as well. Defaults to 20.
        num_finalists (int): Paths of the best training effects to rate. Defaults to 11.
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
        num_finalists: int = 11,
        num_images: int | None = None,
        num_bn_images: int = 2048,
        bn_policy: str = 'recalibrate',
        next_steps: dict | None = None,
    ):
        super().__init__(runner, dataloader)
        self.model = unwrap(runner.model)
        self.bn_dataset = bn_dataset
        self.num_random = num_random
        self.num_finalists = num_finalists
        self.next_steps = next_steps or {}
        self.evaluator_args = dict(
            num_images=num_images, num_bn_images=num_bn_images, bn_policy=bn_policy
        )

    def run(self) -> dict:
        """Rate, write, and return ``{'best/top1': ..., 'best/macs_m': ...}``."""
        runner, model = self.runner, self.model
        finalists, why_not = self._finalists()
        on_board = self.paths_of_the_board()
        chosen_from = finalists or on_board
        known = list(dict.fromkeys(finalists + on_board))
        candidates = known + self._random_paths(exclude=known)
        if not candidates:
            raise ValueError('nothing to rate: the board is empty and num_random is 0')
        if not chosen_from:
            outside = model.board is not None and len(model.board) > 0
            why = f'no path of the board has {model.budget}' if outside else 'the board is empty'
            mend = 'widen the budget' if outside else 'lower the warm-up of BoardHook'
            runner.logger.warning(
                f'{why}, so the answer is the best of the random paths. Train longer, or {mend}'
            )
        sources = [_source(arch, finalists, on_board) for arch in candidates]
        runner.logger.info(
            f'Rating {len(candidates)} paths on held-out images ({model.budget}): '
            f'{len(finalists)} of the best training effects, {len(on_board)} of the board, '
            f'{sources.count("random")} random ones'
        )
        evaluator = self.build_evaluator()
        before = sum(evaluator.log.get(arch) is not None for arch in candidates)
        if before:
            runner.logger.info(f'{before} of them were rated before: taken from ratings.jsonl')
        start, count = time.time(), itertools.count(1)

        def progress(i, rating):
            done = next(count)
            eta = (time.time() - start) / done * (len(candidates) - done)
            macs = model.cost_model.cost(candidates[i]).macs / 1e6
            runner.logger.info(
                f'Rated [{done}/{len(candidates)}] cross entropy {rating.loss:.4f}, top-1 '
                f'{rating.top1_pct:.2f} %, {macs:.2f} MMACs ({sources[i]})  '
                f'eta: {int(eta) // 60}:{int(eta) % 60:02d}'
            )

        ratings = evaluator.rate_all(candidates, progress)
        rating_of = dict(zip(candidates, ratings))
        if finalists:
            rule, (best, notes) = 'effects', self.pick_by_effects(finalists, rating_of)
        else:
            rule, notes = (
                ('board' if on_board else 'random'),
                [f'{why_not}: the answer goes by ratings alone'] if why_not else [],
            )
            best = self._best_rated(on_board or candidates, rating_of)
        others = [rating_of[arch] for arch in candidates if arch != best]
        notes += sampling_notes([rating_of[best], *others], evaluator.largest_class_pct)
        rated = [
            self._record(arch, rating_of[arch], source) for arch, source in zip(candidates, sources)
        ]
        if is_main_process():
            choice = dict(rule=rule, notes=notes)
            self._write(rated, best, rating_of[best], evaluator.description, choice)
        macs = model.cost_model.cost(best).macs / 1e6
        return {'best/top1': rating_of[best].top1_pct, 'best/macs_m': macs}

    def _finalists(self) -> tuple[list, str | None]:
        """Paths of the best training effects, best first; or none, and why."""
        if self.model.compat.answer == 'board':
            return [], None
        return on_main_process(self._find_finalists)

    def _find_finalists(self) -> tuple[list, str | None]:
        try:
            effects = self._training_effects()
        except FileNotFoundError:
            return [], (
                f'No training effects: there is no {PATH_LOG}, which dict(type='
                '"cream_mm.PathLogHook") among the hooks writes'
            )
        except ValueError as error:
            return [], f'No training effects: {error}'
        if effects.num_paths < 2 * effects.num_effects:
            return [], (
                f'No training effects: the log has {effects.num_paths} steps to use for the '
                f'effects of {effects.num_effects} choices, and at least twice as many are needed'
            )
        if effects.gain < ERRORS:
            return [], 'The losses of the training do not tell choices apart (yet)'
        space, found = self.model.backbone.space, {}
        try:
            for _, arch in best_paths(effects, space, self.model.budget):
                found.setdefault(space.canonical(arch), arch)
                if len(found) == self.num_finalists:
                    break
        except ValueError as error:  # what was found before is the best there is
            if not found:
                return [], f'No path by training effects: {error}'
        return list(found.values()), None if found else 'No path within the budget was trained'

    def _training_effects(self) -> MainEffects:
        runner, space = self.runner, self.model.backbone.space
        log = Path(runner.work_dir) / PATH_LOG
        if runner.iter > 0:  # this very run
            return training_effects(log, space, end=runner.iter)
        if not runner._load_from:
            raise FileNotFoundError('no training was here')
        checkpoint = local_file(runner._load_from)
        beside = checkpoint.parent / PATH_LOG
        return training_effects_until(checkpoint, space, beside if beside.is_file() else log)

    @staticmethod
    def pick_by_effects(finalists: list, rating_of: dict) -> tuple:
        """The first finalist that its rating does not veto.

        Args:
            finalists (list[Arch]): Best training effects first.
            rating_of (dict[Arch, Rating]): Of each of them, on the same images.

        Returns:
            tuple[Arch, list[str]]: The path, and a note if others were vetoed.
        """
        ratings = [rating_of[arch] for arch in finalists]
        place = first_not_vetoed(ratings)
        if place == 0:
            return finalists[0], []
        difference = paired_difference(ratings[0], ratings[best_rated(ratings)])
        vetoed = 'the best path by training effects' if place == 1 else f'the {place} best paths'
        note = (
            f'Ratings vetoed {vetoed}: number 1 is rated {difference.mean:.3f} nats worse than the '
            f'best-rated of {len(finalists)} finalists (standard error {difference.error:.3f}). '
            f'The answer is number {place + 1} by effects.'
        )
        return finalists[place], [note]

    def _best_rated(self, archs: list, rating_of: dict):
        cheapest = sorted(archs, key=lambda arch: self.model.cost_model.cost(arch).macs)
        return cheapest[best_rated([rating_of[arch] for arch in cheapest])]

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
        costs = self.model.cost_model.cost(arch).in_units()
        return dict(
            arch=arch.to_list(),
            source=source,
            macs_m=costs['macs_m'],
            params_m=costs['params_m'],
            top1_pct=rating.top1_pct,
            loss=rating.loss,
        )

    def _write(self, rated: list[dict], best, rating, bn_policy: str, choice: dict) -> None:
        runner, model = self.runner, self.model
        work_dir = Path(runner.work_dir)
        write_json(work_dir / 'board.json', board_content(model, rated))
        answer = answer_content(
            model, best, runner.cfg, rating=rating_content(rating, bn_policy), choice=choice,
            seed=runner.seed, next_steps=self.next_steps,
        )  # fmt: skip
        write_json(work_dir / 'best_arch.json', answer)
        for note in choice['notes']:
            runner.logger.warning(note)
        folder, file = work_dir / 'export', work_dir / 'best_arch.json'
        export = shlex.join(['python', 'tools/export_arch.py', str(file), '--out', str(folder)])
        runner.logger.info(
            f'Best path: {best}  chosen by {RULES[choice["rule"]]}; top-1 {rating.top1_pct:.2f} % '
            f'on {rating.num_images} held-out images, '
            f'{model.cost_model.cost(best).macs / 1e6:.2f} MMACs. Written to '
            f'{work_dir / "best_arch.json"}; cut its weights out with\n'
            f'  {export}'
        )


def _source(arch, finalists: list, on_board: list) -> str:
    if arch in on_board:
        return 'board'
    return 'effects' if arch in finalists else 'random'

"""Trains on a pool of paths, rates all paths so far, lets a strategy propose the next pool."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from ...engine.distributed import on_main_process
from ...engine.loops import SearchLoop, SupernetTrainLoop
from ...engine.loops.rating_time import SPREAD, time_a_rating
from ...engine.loops.search_loop import averaged_weights
from ...engine.stage import Stage
from ...evaluation import ArchEvaluator, Rating
from ...files import read_json, shorten, write_json
from ...files.progress import Progress
from ...registry import LOOPS, argument_names
from ...search import Strategy
from ...spaces import Space
from ...structures import Arch
from .nao_search import NAOSearch

PHASE_FORMAT = 'cream_mm.phase/1'
PHASE_FILE = 'phase_{}.json'
TIMED_PATHS = 60  # by which a dry run tells how long the proposing takes
TIMED_EPOCHS = 4


@LOOPS.register_module()
class AlternatingLoop(SupernetTrainLoop):
    """Training in phases, each on a pool of paths that the ratings of the phases before led to.

    A phase draws its paths from a pool. When it is over, all paths of all pools so far, the
    archive, are rated anew by the weights as they are now, the strategy is told, and what it then
    asks for is the next pool. Weights, optimizer and strategy go on from phase to phase; the
    learning rate is up to the schedule (:class:`CosinePhasesLR`). After the last phase the test
    loop rates the archive a last time and writes the answer (:class:`ArchiveRatingLoop`).

    Paths are rated as ``test_cfg`` says, on one fixed set of images. Pool, archive and what the
    strategy knows are in each checkpoint. What was found between two phases is also written at
    once, to ``phase_1.json`` and so on in the work_dir, with a fingerprint of the weights: a run
    that is killed before its next checkpoint neither rates a path again nor fits again.

    Args:
        runner (Runner): The runner; its test loop is a :class:`SearchLoop`.
        dataloader (dict): Training images.
        phases (int): Phases of equal length; ``max_epochs`` is a multiple of it. Defaults to 4.
        num_new (int): Paths to ask the strategy for. Defaults to 300.
        strategy (dict, optional): A :class:`Strategy` that learns. Defaults to
            ``dict(type='cream_mm.NAOSearch')``.
        sampler (dict, optional): One with a pool. Defaults to
            ``dict(type='cream_mm.SizeProportionalSampler')``.
        **kwargs: Arguments of :class:`SupernetTrainLoop`.

    Raises:
        ValueError: If an argument is none of these, or the test loop rates no paths.

    Reference:
        NAO-V2 (Luo et al., arXiv 1909.10815), released search. Differs: each path is rated on
        the same images, and phases may be interrupted.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        *,
        phases: int = 4,
        num_new: int = 300,
        strategy: dict | None = None,
        sampler: dict | None = None,
        **kwargs: Any,
    ):
        for name, value in (('phases', phases), ('num_new', num_new)):
            if type(value) is not int or value < 1:
                raise ValueError(f'{name} of the train_cfg is a number from 1; got {value!r}')
        sampler = {'type': 'cream_mm.SizeProportionalSampler', **(sampler or {})}
        super().__init__(runner, dataloader, sampler=sampler, **kwargs)
        if not hasattr(self.sampler, 'set_pool'):
            raise ValueError(
                f'AlternatingLoop draws from a pool; {type(self.sampler).__name__} has none. Use '
                "sampler=dict(type='cream_mm.SizeProportionalSampler')"
            )
        if self.max_epochs % phases:
            raise ValueError(
                f'max_epochs={self.max_epochs} is not {phases} phases of as many epochs each: take '
                f'{math.ceil(self.max_epochs / phases) * phases}, or another number of phases'
            )
        self.phases, self.num_new = phases, num_new
        self.strategy_cfg = strategy or dict(type='cream_mm.NAOSearch')
        self.strategy: Strategy | None = None
        self.phase = 0  # of those that are over and followed by another
        self._archive: list[Arch] = []  # without the pool
        self._state: Mapping = {}
        self._evaluator: ArchEvaluator | None = None

    @property
    def phase_epochs(self) -> int:
        """Epochs of a phase."""
        return self.max_epochs // self.phases

    @property
    def archive(self) -> list[Arch]:
        """All paths that are or were in a pool, each once, in the order in which they came."""
        return list(dict.fromkeys([*self._archive, *self.sampler.pool]))

    @property
    def epochs_together(self) -> int:
        """``max_epochs`` is a multiple of this."""
        return self.phases

    def archive_size(self, phase: int) -> int:
        """Paths of the archive at the end of a phase, counted from 1, at most."""
        return len(self.archive) + max(0, phase - 1 - self.phase) * self.num_new

    def stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: what lies between the phases, and behind the last."""
        stages = super().stages(runner)
        sizes = [self.archive_size(phase) for phase in range(self.phase + 1, self.phases)]
        if not sizes:
            return stages
        known = [stage.seconds_each for stage in stages if stage.name == 'rating']
        each = known[0] if known else time_a_rating(runner.test_loop)[1]
        number = sum(sizes)
        once, per_path = self._time_follow_up()
        pools = once + per_path * number / len(sizes)
        return [
            Stage('rating between phases', 'paths', number / get_world_size(), each, SPREAD),
            Stage('new pools', 'times', len(sizes), pools, 0.5),  # a fit may end before its epochs
            *stages,
        ]

    def _time_follow_up(self) -> tuple[float, float]:
        """Seconds in which a strategy proposes a pool: once, and for each path that it was told."""
        archs, times = self.archive[:TIMED_PATHS], []
        kind, _ = self.runner.test_loop.strategy_class(self.strategy_cfg)
        has_epochs = 'epochs' in argument_names(kind)
        for epochs in (1, 1 + TIMED_EPOCHS) if has_epochs else (None,):
            start = perf_counter()
            strategy = self._build_strategy(None, **(dict(epochs=epochs) if has_epochs else {}))
            strategy.tell(archs, [float(i) for i in range(len(archs))])
            strategy.ask(self.num_new)
            times.append(perf_counter() - start)
        if not has_epochs:
            return times[0], 0.0
        per_epoch = max(0.0, times[1] - times[0]) / TIMED_EPOCHS
        return times[0], per_epoch * self.strategy.settings['epochs'] / len(archs)

    def run(self) -> nn.Module:
        """Train in phases, then let the test loop rate the archive."""
        if not isinstance(self.runner.test_loop, SearchLoop):
            raise ValueError(
                'AlternatingLoop rates paths between its phases as the test loop does: give '
                "test_cfg=dict(type='cream_mm.ArchiveRatingLoop', ...), a test_dataloader and a "
                'test_evaluator'
            )
        self.strategy = self._build_strategy(self._state.get('strategy'))
        twice = getattr(self.sampler, 'official', False)
        if twice and not self.strategy.settings.get('official'):
            raise ValueError(
                'an official pool may hold a network in two ways of writing it, and this strategy '
                'takes no network twice: set official=True in both or in none, '
                "sampler=dict(official=True), strategy=dict(type='cream_mm.NAOSearch', "
                'official=True)'
            )
        return super().run()

    def run_epoch(self) -> None:
        """One epoch; before the first of a phase, what leads from the last phase to it."""
        if self._epoch // self.phase_epochs > self.phase:
            self.start_phase()
        super().run_epoch()

    def start_phase(self) -> None:
        """Rate the archive, tell the strategy, and draw from what it asks for from now on."""
        number = self._epoch // self.phase_epochs
        with averaged_weights(self.runner):
            if self._evaluator is None:
                # Its log is ours to open: one for the weights of each phase.
                self._evaluator = self.runner.test_loop.build_evaluator(log_file=None)
            found = self._from_phase(number)
        self.strategy = self._build_strategy(found['strategy'])
        space = self.supernet.space
        self._archive = self.archive
        self.sampler.set_pool([space.parse(nested) for nested in found['pool']])
        self.phase = number
        self.runner.logger.info(
            f'Phase {number + 1} of {self.phases}: {len(self.sampler.pool)} new paths, '
            f'{len(self.archive)} in the archive'
        )

    def _from_phase(self, number: int) -> dict:
        """What the phase led to: out of its file, or found now and written there."""
        runner, evaluator = self.runner, self._evaluator
        path = Path(runner.work_dir) / PHASE_FILE.format(number)
        key = evaluator.fingerprint()
        known = on_main_process(self._read, path, number, key)
        if known is not None:
            runner.logger.info(f'Phase {number} was rated and followed up before: {path.name}')
            return known
        ratings = self._rate(key, number)
        found = self._follow_up(number, key, ratings)
        return on_main_process(self._written, path, found)  # the same on every rank

    @staticmethod
    def _written(path: Path, content: dict) -> dict:
        write_json(path, content)
        return content

    def _rate(self, key: str, number: int) -> list[Rating]:
        evaluator, archive, logger = self._evaluator, self.archive, self.runner.logger
        evaluator.open_log(Path(self.runner.work_dir) / 'ratings.jsonl', key)
        progress = Progress(len(archive))
        logger.info(
            f'Phase {number} of {self.phases} is over: rating all {len(archive)} paths of the '
            f'archive on {evaluator.num_images} held-out images'
        )

        def tell(i: int, rating: Rating) -> None:
            logger.info(
                f'Rated {progress.step()} {rating}  {progress.eta}',
                extra=dict(share=progress.share),
            )
            costs = self.runner.test_loop.budget.cost_model.cost(archive[i]).in_units()
            self.runner.call_hook(
                'after_rating', rating=rating, costs=costs, stage=f'phase_{number}'
            )

        return evaluator.rate_all(archive, tell)

    def _follow_up(self, number: int, key: str, ratings: Sequence[Rating]) -> dict:
        """Tell the strategy and ask it: what the file of a phase holds."""
        strategy, logger = self.strategy, self.runner.logger
        scores = {
            arch: rating.score
            for arch, rating in zip(self.archive, ratings)
            if math.isfinite(rating.score)
        }
        if not scores:
            raise ValueError(
                f'after phase {number} no path has a finite rating: the training fell apart. Lower '
                'the learning rate'
            )
        if len(scores) < len(ratings):
            logger.warning(
                f'{len(ratings) - len(scores)} paths have no finite rating: they are passed over'
            )
        strategy.tell(list(scores), list(scores.values()), renew=True)
        pool = strategy.ask(self.num_new)
        if not pool:
            logger.warning('No new path is left: the next phase trains the best of the archive')
            pool = sorted(scores, key=scores.get, reverse=True)[: self.num_new]
        elif len(pool) < self.num_new:
            logger.info(f'{len(pool)} new paths were found, not {self.num_new}')
        best = max(ratings, key=lambda rating: (math.isfinite(rating.score), rating.score))
        last = [scores[arch] for arch in self.sampler.pool if arch in scores] or [math.nan]
        mean = sum(last) / len(last)
        told = f'{-mean:.4f} nats' if best.metric is None else f'{mean:.4f}'
        logger.info(f'Phase {number}: best of the archive {best}; mean of its own pool {told}')
        return dict(
            format=PHASE_FORMAT,
            phase=number,
            key=key,
            scores=[[arch.to_list(), score] for arch, score in scores.items()],
            pool=[arch.to_list() for arch in pool],
            strategy=strategy.state_dict(),
        )

    def _read(self, path: Path, number: int, key: str) -> dict | None:
        """The file of a phase, if it is there, whole, and of these weights."""
        if not path.exists():
            return None
        try:
            content = read_json(path)
            ours = (PHASE_FORMAT, number, key)
            if not isinstance(content, dict):
                raise ValueError(f'it holds a {type(content).__name__}')
            if tuple(content.get(name) for name in ('format', 'phase', 'key')) != ours:
                return None  # of other weights, images or settings: found anew, and replaced
            self._build_strategy(content.get('strategy'))
            pool = [self.supernet.space.parse(nested) for nested in content.get('pool') or ()]
            if not pool:
                raise ValueError('it has no pool')
        except (OSError, ValueError, TypeError, KeyError) as error:
            self.runner.logger.warning(
                f'{path} is not used: {shorten(str(error), 200)}. Its paths are rated again'
            )
            return None
        return content

    def _build_strategy(self, state: Mapping | None, **settings: Any) -> Strategy:
        """A strategy of this run, in a state that was saved."""
        # The first pool is the random start, and a generation is a pool.
        cfg = dict(self.strategy_cfg, **settings)
        loop = self.runner.test_loop
        if loop.strategy_class(cfg)[0] is NAOSearch:
            cfg = dict(num_initial=2, num_new=self.num_new) | cfg
        strategy = loop.build_strategy(cfg)
        if not strategy.learns:
            raise ValueError(
                f'AlternatingLoop needs a strategy that learns from ratings; '
                f'{type(strategy).__name__} does not'
            )
        if state:
            strategy.load_state_dict(state)
        return strategy

    # ---- state -------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Phase, archive, and what sampler and strategy know."""
        return dict(
            super().state_dict(),
            phase=self.phase,
            phase_epochs=self.phase_epochs,
            archive=[arch.to_list() for arch in self.archive],
            strategy=self.strategy.state_dict(),
        )

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from :meth:`state_dict`; the strategy is made when the training begins.

        Raises:
            ValueError: If its phases are of another length: some would be left out, or done twice.
        """
        theirs = state.get('phase_epochs', self.phase_epochs)
        if theirs != self.phase_epochs:
            raise ValueError(
                f'the checkpoint is of a run with phases of {theirs} epochs; max_epochs and phases '
                f'of the train_cfg make phases of {self.phase_epochs}. Set them as they were'
            )
        super().load_state_dict(state)
        self._state = state
        self.phase = int(state.get('phase', 0))
        self._archive = archive_of(state, self.supernet.space)


def archive_of(state: Mapping, space: Space) -> list[Arch]:
    """The archive that a checkpoint of an :class:`AlternatingLoop` holds.

    Raises:
        ValueError: If it holds something else in its place.
    """
    archive = state.get('archive') or ()
    if not isinstance(archive, (list, tuple)):
        raise ValueError(f'the archive of a checkpoint is a list; got {shorten(repr(archive))}')
    return [space.parse(nested) for nested in archive]

"""From a trained supernet to the answer: asks a strategy, rates, tells it, writes the best."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import EMAHook
from mmengine.registry import DATASETS
from mmengine.runner import BaseLoop, Runner
from mmpretrain.models.classifiers import BaseClassifier
from torch.utils.data import DataLoader

from ...checkpoints import load_checkpoint_file
from ...checkpoints.load_weights import local_file
from ...costs import Budget, CostModel
from ...evaluation import (
    ArchEvaluator,
    Rating,
    best_rated,
    first_not_vetoed,
    paired_difference,
    sampling_notes,
)
from ...evaluation.arch_evaluator import check_annotations, check_metric
from ...files import PATH_LOG, write_json
from ...files.answer_file import SEARCH_FORMAT, answer_content, rating_content
from ...files.arch_file import RULES
from ...files.front_file import front_content
from ...files.progress import Progress
from ...models.backbones.published import published_costs
from ...registry import LOOPS, TASK_UTILS, argument_names
from ...search import CostPathSampler, PathSampler, Strategy
from ...search.front import budget_steps, ends, front_cost
from ...structures import Arch
from ..distributed import on_main_process, unwrap
from ..stage import Stage
from ..words import short_path, with_unit
from .rating_time import SPREAD, time_a_rating
from .supernet_train_loop import supernet_of
from .supernet_val_loop import FAR_STEP


class Choice(NamedTuple):
    """Which path is the answer, and why."""

    arch: Arch
    rule: str  # a key of `RULES`
    notes: list[str]  # sentences for whoever goes on with it


@LOOPS.register_module()
class SearchLoop(BaseLoop):
    """Asks a strategy for paths, rates them on held-out images, tells it, and writes the answer.

    Runs at the end of a search; ``tools/test.py CONFIG CHECKPOINT`` runs it again, and
    ``tools/search.py`` with another strategy. Another loop may have one and use :meth:`search`
    between its own steps: its :meth:`state_dict` is then part of that loop's.

    Without a strategy the answer is the path within the budget whose training effects are best
    (:class:`TrainingEffectsSearch`), unless ratings veto it: one that is rated worse than the
    best-rated of the ``num`` paths asked for by more than two standard errors loses to the next.
    Where the training's log says too little, it is the best-rated of the random paths.

    The model is any around a supernet. A plain classifier's paths are compared by cross entropy,
    unless ``metric`` names another one of its evaluator's; other models need one. Random paths are
    rated, too: they cost little and show whether the others are better than chance.

    Writes into the work_dir:

    * ``search.json``: all rated paths.
    * ``front.json``: for steps through the budget's range the best path within each, beside the
      cheapest, the costliest, random ones and published networks.
    * ``best_arch.json``: architecture, space, costs, rating, how it was chosen, budget, config
      and seed.
    * ``ratings.jsonl``: each rating as it is made, so that a run that was killed goes on with the
      next path. Ratings of other weights or images are not used.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Held-out images; its dataset, batch_size and num_workers count.
        evaluator (dict | list): Metrics of mmengine; asked for ``metric``.
        bn_dataset (dict): Training images under the test pipeline, for BN recalibration.
        strategy (dict, optional): A :class:`Strategy`, e.g. ``dict(type='cream_mm.evolution')``.
        num (int): Paths to ask it for. Defaults to 11.
        metric (str, optional): What paths are compared by, e.g. ``'coco/bbox_mAP_50'``; higher has
            to be better.
        num_random (int): Random paths within the budget to rate as well. Defaults to 20.
        num_images (int, optional): Rate on at most this many images. None takes all.
        num_bn_images (int): Images for recalibration. Defaults to 2048.
        bn_policy (str): 'recalibrate' or 'batch_stats'. Defaults to 'recalibrate'.
        keep_gb (float): Memory for images; those beyond are read again for each path. Defaults
            to 4.
        next_steps (dict, optional): Configs that ``tools/export_arch.py`` builds on, under the
            keys ``retrain`` and ``detector``.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list | None = None,
        *,
        bn_dataset: dict,
        strategy: dict | None = None,
        num: int = 11,
        metric: str | None = None,
        num_random: int = 20,
        num_images: int | None = None,
        num_bn_images: int = 2048,
        bn_policy: str = 'recalibrate',
        keep_gb: float = 4.0,
        next_steps: dict | None = None,
    ):
        super().__init__(runner, dataloader)
        self.model = unwrap(runner.model)
        self.supernet = supernet_of(self.model)
        self.evaluator = runner.build_evaluator(evaluator or [])
        self.evaluator.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)
        self.bn_dataset = bn_dataset
        self.strategy_cfg = strategy
        self.strategy: Strategy | None = None
        self.num = num
        self.num_random = num_random
        self.next_steps = next_steps or {}
        self.evaluator_args = dict(
            metric=metric,
            num_images=num_images,
            num_bn_images=num_bn_images,
            bn_policy=bn_policy,
            keep_gb=keep_gb,
        )
        self._state: Mapping | None = None
        # What came out and how to go on, for `SummaryHook`; on the main process.
        self.summary: list[tuple[str, str]] = []
        self.next_commands: list[list[str]] = []
        self._front_told: list[tuple[str, str]] = []
        if strategy is not None:  # before any training, not after it
            self.strategy_class(strategy)[0].check_run(self)
        check_metric(metric, self.evaluator.metrics, self.model)
        for one in self.evaluator.metrics if metric is not None else ():
            dataset = self.dataloader.dataset
            check_annotations(one, dataset, range(len(dataset)))
        counts_head = getattr(self.budget.cost_model, 'num_classes', None) is not None
        if counts_head and not isinstance(self.model, BaseClassifier):
            raise ValueError(
                'model.backbone.costs counts the head of a classifier, which '
                f'{type(self.model).__name__} does not have: set head=None there, and leave '
                'num_classes out'
            )

    @property
    def budget(self) -> Budget:
        """Bounds that the answer obeys."""
        return self.supernet.budget

    # ---- the whole way -----------------------------------------------------------------------

    def run(self) -> dict:
        """Search, write, and return ``{'best/top1': ..., 'best/macs_m': ...}``.

        With averaged weights (``EMAHook``) paths are rated by the average, which is what a
        checkpoint holds and an export takes.
        """
        with averaged_weights(self.runner):
            return self._run()

    def _run(self) -> dict:
        self.strategy = self._state = None  # anew: what was asked for before is asked for again
        notes = self.prepare()
        evaluator = self.build_evaluator()
        strategy, ratings = self.strategy, {}
        if strategy is None:
            asked = []
        elif strategy.learns:
            ratings.update(self.search(evaluator, self.num))
            asked = list(ratings)
        else:  # rated below, with all others, so that all share what they have in common
            asked = strategy.ask(self.num)
        if strategy is not None and not asked:
            notes.append(self._nothing_asked())
        others = self.others(asked)
        if not asked and not others:
            raise ValueError('nothing to rate: the strategy has no path and num_random is 0')
        steps, references = self.front_paths(), self.reference_paths()
        sources = {arch: others.get(arch, strategy.rule) for arch in asked} | others
        sources |= {arch: 'front' for _, arch in steps if arch not in sources}
        sources |= {arch: 'reference' for _, arch in references if arch not in sources}
        self._rate(evaluator, list(sources), ratings, sources)
        if strategy is not None:
            if not strategy.learns:
                self._tell(asked, ratings)
            for line in strategy.notes():
                self.runner.logger.info(line)
        allowed = [item for item in references if self.budget.is_feasible(item[1])]
        choice = self.choose(asked, {**others, **_ends(allowed, others)}, ratings)
        best = choice.arch
        rest = [rating for arch, rating in ratings.items() if arch != best]
        notes = [
            *notes, *choice.notes,
            *sampling_notes([ratings[best], *rest], evaluator.largest_class_pct),
        ]  # fmt: skip
        if is_main_process():
            references += [('random', a) for a, source in others.items() if source == 'random']
            self.write_front(ratings, steps, references, best)
            self.write(evaluator, ratings, sources, choice._replace(notes=notes))
        rating, costs = ratings[best], self.budget.cost_model.cost(best).in_units()
        shown = {'best/top1': rating.top1_pct} if rating.metric is None else {
            f'best/{rating.metric}': rating.value
        }  # fmt: skip
        told = {f'best/{key}': costs[key] for key in ('macs_m', 'latency_ms') if key in costs}
        return {**shown, **told}

    # ---- ask, rate, tell ---------------------------------------------------------------------

    def prepare(self) -> list[str]:
        """Make the strategy, unless there is one.

        Returns:
            list[str]: Why there is none, if the config names none and the usual one cannot work.

        Raises:
            FileNotFoundError, ValueError: If the strategy that the config names cannot work.
        """
        if self.strategy is not None:
            return []
        if self.strategy_cfg is not None:
            self.strategy = self.build_strategy(self.strategy_cfg)
        else:
            try:
                self.strategy = self.build_strategy(dict(type='cream_mm.TrainingEffectsSearch'))
            except FileNotFoundError:
                return [
                    f'The answer is chosen by ratings alone: there is no {PATH_LOG}, which '
                    'dict(type="cream_mm.PathLogHook") among the hooks writes'
                ]
            except ValueError as error:
                return [f'The answer is chosen by ratings alone: {error}']
        # One that does not learn knows nothing by what it was told, and its effects have changed.
        if self._state is not None and self.strategy.learns:
            self.strategy.load_state_dict(self._state)
        return []

    def build_strategy(self, cfg: dict) -> Strategy:
        """A strategy for this run, by the name of its class or its short name.

        Raises:
            FileNotFoundError, ValueError: If there is none of this name, or it cannot work here.
        """
        kind, cfg = self.strategy_class(cfg)
        return kind.for_run(self, **{'seed': self.runner.seed, **cfg})

    @staticmethod
    def strategy_class(cfg: dict) -> tuple[type[Strategy], dict]:
        cfg = dict(cfg)
        name = str(cfg.pop('type'))
        kind = TASK_UTILS.get(name if '.' in name else f'cream_mm.{name}')
        if not (isinstance(kind, type) and issubclass(kind, Strategy)):
            raise ValueError(f'no strategy is named {name!r}; there are {", ".join(strategies())}')
        known = (argument_names(kind) | kind.of_a_run) - {'space', 'budget', 'key', *kind.by_a_run}
        if unknown := sorted(set(cfg) - known):
            raise ValueError(f'strategy {name!r} has no {unknown}; it knows {sorted(known)}')
        return kind, cfg

    def search(self, evaluator: ArchEvaluator, num: int) -> dict[Arch, Rating]:
        """Ask for paths, rate them, and tell the strategy; fewer than ``num`` if no more are left.

        Returns:
            dict[Arch, Rating]: In the order in which they were asked for.
        """
        strategy, ratings = self.strategy, {}
        unit = 'ms' if strategy.settings.get('cost') == 'latency_ms' else 'M'
        progress = Progress(num)
        while len(ratings) < num:
            archs = strategy.ask(1)
            if not archs:
                self.runner.logger.info(f'No path is left to rate within {self.budget}')
                break
            known = evaluator.log is not None and evaluator.log.get(archs[0]) is not None
            ratings[archs[0]] = evaluator.rate_all(archs, lambda *_: None)[0]
            self._told_hooks(archs[0], ratings[archs[0]])
            if not self._tell(archs, ratings):
                continue
            self.runner.logger.info(
                f'Rated {progress.step(known)} {ratings[archs[0]]}, '
                f'{strategy.scored[-1].cost_m:.2f} {unit}; '
                f'{_best_so_far(strategy, ratings, unit)}  {progress.eta}',
                extra=dict(share=progress.share),
            )
        return ratings

    def _rate(
        self,
        evaluator: ArchEvaluator,
        archs: Sequence[Arch],
        ratings: dict[Arch, Rating],
        sources: Mapping[Arch, str],
    ) -> None:
        """Rate those that have no rating yet, with a line for each."""
        archs = [arch for arch in archs if arch not in ratings]
        if not archs:
            return
        progress = Progress(len(archs))
        told = [
            f'{count} {source}'
            for source in dict.fromkeys(sources.values())
            if (count := sum(sources[arch] == source for arch in archs))
        ]
        self.runner.logger.info(
            f'Rating {len(archs)} paths on {evaluator.num_images} held-out images ({self.budget}): '
            f'{", ".join(told)}'
        )

        def tell(i: int, rating: Rating) -> None:
            cost = self.budget.cost_model.cost(archs[i]).told()
            self.runner.logger.info(
                f'Rated {progress.step()} {rating}, {cost} ({sources[archs[i]]})  {progress.eta}',
                extra=dict(share=progress.share),
            )
            self._told_hooks(archs[i], rating)

        ratings.update(zip(archs, evaluator.rate_all(archs, tell)))

    def _told_hooks(self, arch: Arch, rating: Rating) -> None:
        self.runner.call_hook(
            'after_rating',
            rating=rating,
            costs=self.budget.cost_model.cost(arch).in_units(),
            predicted=self.strategy.predicted(arch) if self.strategy is not None else None,
        )

    def _tell(self, archs: Sequence[Arch], ratings: Mapping[Arch, Rating]) -> bool:
        """Tell the strategy all finite scores; whether there was one."""
        finite = [arch for arch in archs if math.isfinite(ratings[arch].score)]
        for arch in archs:
            if arch not in finite:
                self.runner.logger.warning(f'{arch} has no finite rating: it is passed over')
        if finite:
            self.strategy.tell(finite, [ratings[arch].score for arch in finite])
        return bool(finite)

    def _nothing_asked(self) -> str:
        if self.strategy_cfg is not None:
            raise ValueError(f'strategy {self.strategy_cfg["type"]!r} has no path to propose')
        return 'No path within the budget was trained: the answer goes by ratings alone'

    def build_evaluator(self, **kwargs: Any) -> ArchEvaluator:
        """What rates the paths, with its record in the work_dir.

        Args:
            **kwargs: Arguments of :class:`ArchEvaluator` in place of this loop's.
        """
        loader, runner = self.dataloader, self.runner
        settings = dict(
            metrics=self.evaluator.metrics,
            batch_size=loader.batch_size or loader.batch_sampler.batch_size,
            num_workers=loader.num_workers,
            seed=runner.seed,
            log_file=Path(runner.work_dir) / 'ratings.jsonl',
            **self.evaluator_args,
        )
        bn_dataset = DATASETS.build(self.bn_dataset)
        return ArchEvaluator(self.model, loader.dataset, bn_dataset, **{**settings, **kwargs})

    def others(self, asked: Sequence[Arch]) -> dict[Arch, str]:
        """Paths to rate beside those of the strategy, with where they are from."""
        return dict.fromkeys(self.random_paths(exclude=asked), 'random')

    def random_paths(self, exclude: Sequence[Arch]) -> list[Arch]:
        """Drawn as in training: choices that were trained more must not make the difference."""
        sampler = self.path_sampler()
        paths: list[Arch] = []
        # Steps beyond any training run's, so that these are not paths it was trained on last.
        for step in range(FAR_STEP, FAR_STEP + 10 * self.num_random):
            arch = sampler.sample(step)
            if len(paths) < self.num_random and arch not in exclude and arch not in paths:
                paths.append(arch)
        return paths

    def path_sampler(self) -> PathSampler:
        """Draws within the budget, with the odds that the supernet was trained with."""
        where = dict(space=self.supernet.space, budget=self.budget, seed=self.runner.seed)
        trained = self._of_train_loop('sampler')
        if isinstance(trained, Mapping):
            trained = TASK_UTILS.get(str(trained.get('type', 'PathSampler')))
        if isinstance(trained, CostPathSampler) or trained is CostPathSampler:
            return CostPathSampler(**where)
        return PathSampler(**where, op_prob=self.op_prob())

    def op_prob(self) -> Sequence[float] | None:
        """Probabilities of choices that the supernet was trained with."""
        sampler = self._of_train_loop('sampler') or {}
        if isinstance(sampler, Mapping):
            return sampler.get('op_prob')
        return getattr(sampler, 'op_prob', None)

    def _of_train_loop(self, name: str) -> Any:
        """What it has under a name: its entry, or the object itself where it is built."""
        loop = self.runner._train_loop  # the property would build it, and read the training set
        return getattr(loop, name, None) if isinstance(loop, BaseLoop) else (loop or {}).get(name)

    # ---- how long it takes -------------------------------------------------------------------

    def stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: the reading of the images, and the ratings."""
        read, rate = time_a_rating(self)
        return [
            Stage('images to rate on', 'times', 1, read),
            Stage('rating', 'paths', self.num_rated() / get_world_size(), rate, SPREAD),
        ]

    def num_rated(self) -> int:
        """Paths that :meth:`run` rates, at most: some are named twice."""
        kind, _ = self.strategy_class(self.strategy_cfg or dict(type='TrainingEffectsSearch'))
        steps = budget_steps(self.budget)[:-1] if kind.predicts else []  # the last is the answer
        return self.num + self.num_random + len(steps) + len(self.reference_paths())

    # ---- the answer --------------------------------------------------------------------------

    def choose(
        self, asked: Sequence[Arch], others: Mapping[Arch, str], ratings: Mapping[Arch, Rating]
    ) -> Choice:
        """The answer among rated paths."""
        if not asked:
            return Choice(self.best_rated(list(others), ratings), 'random', [])
        if self.strategy.ratings_veto:
            best, notes = pick_by_effects(asked, ratings)
            return Choice(best, self.strategy.rule, notes)
        return Choice(self.strategy.best().arch, self.strategy.rule, [])

    def best_rated(self, archs: Sequence[Arch], ratings: Mapping[Arch, Rating]) -> Arch:
        """The cheapest of the best-rated."""
        costs = self.budget.cost_model
        cheapest = sorted(archs, key=lambda arch: costs.cost(arch).macs)
        return cheapest[best_rated([ratings[arch] for arch in cheapest])]

    def write(
        self,
        evaluator: ArchEvaluator,
        ratings: Mapping[Arch, Rating],
        sources: Mapping[Arch, str],
        choice: Choice,
    ) -> None:
        """Write the answer and all that was rated, and say how to go on."""
        runner, work_dir = self.runner, Path(self.runner.work_dir)
        best, rating = choice.arch, ratings[choice.arch]
        front = self.strategy.front() if self.strategy is not None else []
        content = dict(
            format=SEARCH_FORMAT,
            strategy=type(self.strategy).__name__ if self.strategy is not None else None,
            settings=self.strategy.settings if self.strategy is not None else {},
            config=_config_of(runner),
            # What it went on from, or began with, is not what was rated after a training.
            checkpoint=None if runner.iter else runner._load_from,
            budget=self.budget.to_dict(),
            num_images=evaluator.num_images,
            bn_policy=evaluator.description,
            best=self.record(best, rating, sources[best]),
            front=[self.record(s.arch, ratings[s.arch], sources[s.arch])
                   for s in front if s.arch in ratings],
            rated=self.records(ratings, sources, best),
        )  # fmt: skip
        write_json(work_dir / 'search.json', content)
        answer = answer_content(
            self.model, best, runner.cfg, rating=rating_content(rating, evaluator.description),
            choice=dict(rule=choice.rule, notes=choice.notes), seed=runner.seed,
            next_steps=self.next_steps,
        )  # fmt: skip
        file = work_dir / 'best_arch.json'
        write_json(file, answer)
        for note in choice.notes:
            runner.logger.warning(note)
        export = ['python', 'tools/export_arch.py', short_path(file)]
        if runner.iter == 0 and runner._load_from and self.supernet.weights_travel:
            export += ['--checkpoint', short_path(runner._load_from)]
        if getattr(self.budget.cost_model.space, 'full_path', None) is None:
            export += ['--out', short_path(work_dir / 'export')]
        else:  # of slices all that are good for their cost are the answer
            export[2:3] = [short_path(work_dir), '--all']
        network, costs = self.budget.cost_model.network(best)
        spelled, size = costs.space.spell(network), _own_size(costs, self.budget)
        runner.logger.info(f'Best path: {spelled}{size}, chosen by {RULES[choice.rule]}')
        cost = self.budget.cost_model.cost(best).told()
        told = rating if rating.metric is None else with_unit(rating.metric, rating.value)
        self.summary = [
            ('best', f'{told} on {rating.num_images} held-out images, {cost}{size}'),
            ('answer', short_path(file)),
            *self._front_told,
        ]
        self.next_commands = [
            export,
            ['python', 'tools/report.py', short_path(work_dir)],
        ]

    def records(
        self, ratings: Mapping[Arch, Rating], sources: Mapping[Arch, str], answer: Arch
    ) -> list[dict]:
        """All rated paths as files have them, see :meth:`record`.

        ``vs_answer`` is how much worse one is rated than the answer, and the standard error.
        """
        found = []
        for arch, rating in ratings.items():
            than = paired_difference(rating, ratings[answer])
            told = dict(mean=than.mean, error=than.error if math.isfinite(than.error) else None)
            found.append(dict(self.record(arch, rating, sources[arch]), vs_answer=told))
        return found

    def record(self, arch: Arch, rating: Rating, source: str) -> dict:
        """A rated path as files have it; numbers of single images stay in ``ratings.jsonl``."""
        costs = self.budget.cost_model.cost(arch).in_units()
        told = rating.record()
        told = {key: told[key] for key in ('top1_pct', 'loss', 'metric', 'value') if key in told}
        costs = {key: costs[key] for key in ('macs_m', 'params_m', 'latency_ms') if key in costs}
        return dict(arch=arch.to_list(), source=source, **costs, **told)

    # ---- the set of answers ------------------------------------------------------------------

    def front_paths(self) -> list[tuple[float, Arch]]:
        """For each of several budgets, its bound and the path that the strategy would answer with.

        Empty where only rated paths can be: :meth:`write_front` takes the best-rated ones then.
        """
        if self.strategy is None or not self.strategy.predicts:
            return []
        found = []
        for bound, budget in budget_steps(self.budget):
            arch = self.strategy.best_within(budget)
            if arch is not None:
                found.append((bound, arch))
        return found

    def reference_paths(self) -> list[tuple[str, Arch]]:
        """What one would take without a search: the cheapest, the costliest, the full network."""
        found = list(zip(('cheapest', 'costliest'), ends(self.budget)))
        full = getattr(self.budget.cost_model.space, 'full_path', None)  # that paths are slices of
        if full is None:
            return found
        return [*((name, arch) for name, arch in found if arch != full), ('full network', full)]

    def write_front(
        self,
        ratings: Mapping[Arch, Rating],
        steps: list[tuple[float, Arch]],
        references: list[tuple[str, Arch]],
        answer: Arch,
    ) -> None:
        """Write ``front.json``, and say what it has."""
        by = 'effects' if steps else 'ratings'
        if not steps:
            for bound, budget in budget_steps(self.budget):
                inside = [arch for arch in ratings if budget.is_feasible(arch)]
                steps += [(bound, self.best_rated(inside, ratings))] if inside else []
        if steps:
            steps = [*steps[:-1], (steps[-1][0], answer)]  # ratings may have vetoed another one
        distinct = {arch: bound for bound, arch in reversed(steps)}  # each at its least bound
        steps = sorted((bound, arch) for arch, bound in distinct.items())
        steps = _not_worse(steps, ratings, answer)
        metric = next(iter(ratings.values())).metric
        told = {arch: _in_front(rating) for arch, rating in ratings.items()}
        content = front_content(
            self.budget, front_cost(self.budget), score=metric or 'cross_entropy',
            higher_is_better=metric is not None, by=by, steps=steps, references=references,
            published=published_costs(self.budget.cost_model), answer=answer, ratings=told,
        )  # fmt: skip
        path = Path(self.runner.work_dir) / 'front.json'
        write_json(path, content)
        self._front_told = [('front', f'{short_path(path)}, {len(steps)} paths, small to large')]

    # ---- what strategies ask of a run --------------------------------------------------------

    @property
    def path_log(self) -> Path:
        """The log of the training whose supernet is rated.

        Raises:
            FileNotFoundError: If nothing was trained here.
        """
        runner = self.runner
        log = Path(runner.work_dir) / PATH_LOG
        if runner.iter > 0:  # this very run
            return log
        if not runner._load_from:
            raise FileNotFoundError('no training was here')
        beside = self.checkpoint.parent / PATH_LOG
        return beside if beside.is_file() else log

    @property
    def num_steps(self) -> int | None:
        """Steps that the supernet was trained for; None if its checkpoint does not tell."""
        if self.runner.iter > 0:
            return self.runner.iter
        return load_checkpoint_file(self.checkpoint).get('meta', {}).get('iter')

    @property
    def checkpoint(self) -> Path:
        """File that the supernet's weights are from."""
        return local_file(self.runner._load_from)

    @staticmethod
    def on_main_process(function: Callable, *args: Any, **kwargs: Any) -> Any:
        """See :func:`on_main_process`."""
        return on_main_process(lambda: function(*args, **kwargs))

    # ---- state -------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """What the strategy was told, for a checkpoint of the loop around this one."""
        return dict(strategy=self.strategy.state_dict()) if self.strategy is not None else {}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from :meth:`state_dict`; the strategy is made when it is needed."""
        self._state = state.get('strategy')


def pick_by_effects(
    finalists: Sequence[Arch], ratings: Mapping[Arch, Rating]
) -> tuple[Arch, list[str]]:
    """The first finalist that its rating does not veto.

    Args:
        finalists (Sequence[Arch]): Best training effects first.
        ratings (Mapping[Arch, Rating]): Of each of them, on the same images.

    Returns:
        tuple[Arch, list[str]]: The path, and a note if others were vetoed.
    """
    rated = [ratings[arch] for arch in finalists]
    place = first_not_vetoed(rated)
    if place == 0:
        return finalists[0], []
    difference = paired_difference(rated[0], rated[best_rated(rated)])
    vetoed = 'the best path by training losses' if place == 1 else f'the {place} best paths'
    unit = 'nats' if rated[0].metric is None else f'of {rated[0].metric}'
    note = (
        f'Ratings vetoed {vetoed}: number 1 is rated {difference.mean:.3f} {unit} worse than the '
        f'best-rated of {len(finalists)} finalists (standard error {difference.error:.3f}). '
        f'The answer is number {place + 1} by effects.'
    )
    return finalists[place], [note]


def _ends(references: Sequence[tuple[str, Arch]], others: Mapping[Arch, str]) -> dict[Arch, str]:
    return {arch: 'reference' for _, arch in references if arch not in others}


def _best_so_far(strategy: Strategy, ratings: Mapping[Arch, Rating], unit: str) -> str:
    try:
        best = strategy.best()
    except ValueError:  # what it learns from may cost more than the budget
        return 'none within the budget yet'
    return f'best {ratings.get(best.arch, best.score)}, {best.cost_m:.2f} {unit}'


def _not_worse(
    steps: list[tuple[float, Arch]], ratings: Mapping[Arch, Rating], answer: Arch
) -> list[tuple[float, Arch]]:
    """Steps without those rated worse, beyond chance, than a cheaper one; the answer stays."""
    kept: list[tuple[float, Arch]] = []
    for bound, arch in steps:
        less = [paired_difference(ratings[arch], ratings[other]) for _, other in kept]
        if arch == answer or not any(d.mean > 0 and d.is_beyond_chance for d in less):
            kept.append((bound, arch))
    return kept


def _own_size(costs: CostModel, budget: Budget) -> str:
    """`` at 96 px`` for a network of a front that may have images of another size than others."""
    if not getattr(budget.cost_model.space, 'input_sizes', ()):
        return ''
    return f' at {costs.input_size[0]} px'


def _in_front(rating: Rating) -> dict:
    told = rating.record()
    score = rating.loss if rating.metric is None else rating.value
    kept = {key: told[key] for key in ('num_images', 'top1_pct', 'loss') if key in told}
    return dict(score=score, **kept)


@contextmanager
def averaged_weights(runner: Runner) -> Iterator[None]:
    """The averaged weights, where a run has such, in the place of the last ones."""
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in averages:
            hook._swap_ema_parameters()


def strategies() -> list[str]:
    """Short names of all registered strategies."""
    TASK_UTILS.import_from_location()
    names: dict[type, str] = {}
    for name, kind in TASK_UTILS.module_dict.items():
        if isinstance(kind, type) and issubclass(kind, Strategy):
            names[kind] = min(names.get(kind, name), name, key=lambda n: (n != n.lower(), len(n)))
    return sorted(names.values())


def _config_of(runner) -> str | None:
    return runner.cfg.get('filename') or runner.cfg.filename

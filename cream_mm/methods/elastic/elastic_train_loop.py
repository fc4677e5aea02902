"""Trains a full network, and then its slices."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...engine.distributed import on_main_process
from ...engine.loops import SearchLoop, SupernetTrainLoop
from ...engine.loops.rating_time import SPREAD, time_a_rating
from ...engine.loops.search_loop import averaged_weights
from ...engine.loops.supernet_val_loop import FAR_STEP
from ...engine.schedulers.two_cosines import first_epochs
from ...engine.stage import Stage
from ...engine.words import PERCENT, short_path
from ...evaluation import ArchEvaluator, Rating, is_constant, paired_difference
from ...registry import LOOPS
from ...search.front import ends
from ...structures import Arch
from .full_network import FULL, teacher_of, write_full_network
from .sandwich import sandwich_step

PATHS = ('random', 'sandwich')
MAX_LOSS_OF_POINTS = 1.0
"""The full network fell apart where it lost more points of top-1 (of a metric from 0 to 1:
hundredths), unless the difference may be chance (two standard errors)."""
PATIENCE = 1 / 2
"""Share of the slices' epochs for which it may be so: it may fall at first, and come back as the
learning rate falls."""
MAX_LOSS_SHARE = 1 / 2
"""The share of its top-1, or metric, that may be lost where the held-out images may have been among
those that it was trained on, as of a network of one's own: forgetting them is no fault."""


@LOOPS.register_module()
class ElasticTrainLoop(SupernetTrainLoop):
    """First the full network alone, by the labels; then its slices, taught by it.

    When the first phase is over, channels are sorted by importance. The full network, with batch
    norm fitted as for a rating, is written to ``full.pth`` in the work_dir in this order, so that
    the supernet can be loaded from it, too; and it teaches from then on (models that have
    ``set_teacher``, as :class:`DistilledClassifier`). The optimizer forgets what it knew of single
    weights, and the schedule's second phase (:class:`TwoCosinesLR`) begins. When that is over, and
    the full path is rated better than the full network was, beyond chance, ``full.pth`` is written
    anew: the weights of the full path are the better teacher of what is exported.

    A path of the second phase is drawn for each step (``paths='random'``). In a sandwich, a step
    trains the full path, the cheapest one and ``num_paths`` random ones on one batch, and the full
    path teaches the others as it is in that step.

    The full path is rated on the held-out images of the test loop when the second phase begins and
    after each of its epochs. Where its loss is larger by more than two standard errors of the
    paired difference, and its top-1 lower by more than a point, for half of these epochs in a row,
    it falls apart, and the training stops with a warning; where half of its top-1 is lost, at once.
    With ``full_share=0`` that alone counts: the network may know the held-out images. A loss that
    is not finite stops it, too. The search then goes on with the weights of the last look that
    found nothing wrong. These weights and ratings are in each checkpoint: a run that was killed
    ends as one that was not.

    Args:
        runner (Runner): The runner; its test loop is a :class:`SearchLoop`.
        dataloader (dict): Training images.
        full_share (float): Share of ``max_epochs`` that trains the full network, rounded to whole
            epochs. 0: the weights that the run begins with are a network trained on these images;
            they are written to ``full.pth`` without being fitted. 1: slices are not trained, but
            rated as the full network has them. Defaults to 0.33.
        paths (str): 'random' (default) or 'sandwich'.
        num_paths (int): Random paths of a sandwich. Defaults to 2.
        stops (bool): Whether to stop when the full network falls apart. False, for models that
            always fall behind as their slices are trained, as detectors: a line at the end says if
            it is worse then. Defaults to True.
        **kwargs: Arguments of :class:`SupernetTrainLoop`.

    Raises:
        ValueError: If an argument is none of these, the supernet's paths are no slices of a full
            network, or the test loop rates no paths.

    Reference:
        Own; after Once-for-all (Cai et al., ICLR 2020), which teaches by the full network, and
        Universally Slimmable Networks (Yu and Huang, ICCV 2019), the sandwich.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        *,
        full_share: float = 0.33,
        paths: str = 'random',
        num_paths: int = 2,
        stops: bool = True,
        **kwargs: Any,
    ):
        super().__init__(runner, dataloader, **kwargs)
        if paths not in PATHS:
            raise ValueError(f'paths is one of {PATHS}; got {paths!r}')
        if type(num_paths) is not int or num_paths < 1:
            raise ValueError(f'num_paths is a number from 1; got {num_paths!r}')
        if not hasattr(self.supernet, 'sort_channels'):
            raise ValueError(
                f'ElasticTrainLoop trains slices of one network; a {type(self.supernet).__name__} '
                'has none. Give it backbone=dict(type="cream_mm.ElasticSupernet", ...)'
            )
        self.full_epochs = first_epochs(self.max_epochs, full_share)
        self.paths, self.num_paths, self.stops = paths, num_paths, stops
        self.start: Rating | None = None  # of the full path, when the second phase began
        self._looked = 0  # the last epoch after which the full path was rated
        self._last: Rating | None = None  # that rating, where this process has made it
        self._good: dict[str, Tensor] = {}  # weights of the last look that found nothing wrong
        self._good_epoch = 0
        self._fallen = 0  # looks in a row that found the full path fallen
        self._stopped = False
        self._evaluator: ArchEvaluator | None = None

    # ---- what a step trains ------------------------------------------------------------------

    @property
    def full_path(self) -> Arch:
        """The full network."""
        return self.supernet.space.full_path

    @property
    def least_epochs(self) -> int:
        """One for each phase, of :func:`first_epochs`."""
        return 1 if self.full_epochs in (0, self.max_epochs) else 2

    @property
    def trains_paths(self) -> bool:
        """Whether it is the second phase; :class:`PathLogHook` has nothing to note before."""
        return self.start is not None

    def path(self, step: int) -> Arch:
        """What a step trains: a function of the step, whichever phase it is in."""
        if step < self.full_epochs * len(self.dataloader):
            return self.full_path
        return super().path(step)

    def path_to_validate(self) -> Arch:
        """For a validation: the full path, and in the second phase one that is the same always."""
        return self.sampler.sample(FAR_STEP) if self.trains_paths else self.full_path

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        if self.paths == 'random' or not self.trains_paths:
            super().run_iter(idx, data_batch)
            return
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = sandwich_step(self.runner, self.sandwich(self._iter), data_batch)
        self.runner.call_hook(
            'after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

    def sandwich(self, step: int) -> list[Arch]:
        """The full path, the cheapest within the budget, and random ones; the step's own last."""
        others = [self.sampler.sample(step + i * 2**32) for i in range(1, self.num_paths)]
        return [self.full_path, self.cheapest, *others, self.path(step)]

    @cached_property
    def cheapest(self) -> Arch:
        """Of the paths within the budget."""
        return ends(self.supernet.budget)[0]

    # ---- phases ------------------------------------------------------------------------------

    def run(self) -> nn.Module:
        """Train in both phases, then let the test loop rate the paths."""
        if not isinstance(self.runner.test_loop, SearchLoop):
            raise ValueError(
                'ElasticTrainLoop rates the full network as the test loop does: give '
                "test_cfg=dict(type='cream_mm.SearchLoop', ...), a test_dataloader and a "
                'test_evaluator'
            )
        if self.trains_paths and self._looked < self._epoch:
            self.look()  # the run was killed between a checkpoint and this
        return super().run()

    def run_epoch(self) -> None:
        """One epoch; before the first of the second phase, what leads to it."""
        if not self.trains_paths and self._epoch >= self.full_epochs:
            self.start_paths()
        try:
            super().run_epoch()
        except FloatingPointError as error:  # of FiniteLossHook
            if not self.trains_paths:
                raise
            self._iter = self._epoch * len(self.dataloader)
            self._stop(f'{error}.')
        else:
            if self.trains_paths:
                self.look()

    def start_paths(self) -> None:
        """From the full network to its slices."""
        runner, model = self.runner, self.model
        with averaged_weights(runner):  # with EMAHook: the average is what goes on
            average = _copied(model.state_dict())
        model.load_state_dict(average)
        self.supernet.sort_channels()
        evaluator = self._build_evaluator()
        with evaluator.fitted(self.full_path) if self.full_epochs else nullcontext():
            state = _copied(model.state_dict())
        path = Path(runner.work_dir) / FULL
        on_main_process(write_full_network, path, model, state, runner.cfg, runner.seed)
        self._set_teacher(path)
        runner.optim_wrapper.optimizer.state.clear()
        _restart_averages(runner)
        rating = evaluator.rate(self.full_path)
        self.start, self._good = rating, _copied(model.state_dict())
        self._looked = self._good_epoch = self._epoch
        left = self.max_epochs - self._epoch
        epochs = f'{left} epoch{"s" * (left > 1)}'
        runner.logger.info(
            f'Full network: {rating} on {rating.num_images} held-out images; it is in '
            f'{short_path(path)}. Its slices are '
            + (f'trained from now on, {epochs}' if left else 'rated as they are')
        )
        largest, constant = evaluator.largest_class_pct, evaluator.constant_loss
        if left and self.full_epochs and self.stops and learned_nothing(rating, largest, constant):
            self._stop(
                'the full network has learned nothing that its slices could be taught: '
                f'{rating}, where always answering the shares of the classes has {constant:.4f} '
                f'nats, top-1 {largest:.2f} %. Lower optim_wrapper.optimizer.lr, train longer, or '
                'on more images.'
            )

    def keep_better_full(self) -> None:
        """``full.pth`` becomes the full path as the slices' training left it, if that is better."""
        runner, evaluator = self.runner, self._build_evaluator()
        with averaged_weights(runner):
            rating = self._last or evaluator.rate(self.full_path)
            difference = paired_difference(rating, self.start)
            is_better = difference.mean < 0 and difference.is_beyond_chance
            if not is_better or _points_lost(rating, self.start) > MAX_LOSS_OF_POINTS:
                return
            with evaluator.fitted(self.full_path):
                state = _copied(self.model.state_dict())
        path = Path(runner.work_dir) / FULL
        on_main_process(write_full_network, path, self.model, state, runner.cfg, runner.seed)
        runner.logger.info(
            f'The training of its slices made the full network better: {rating}; before, '
            f'{self.start}. {short_path(path)} is the better one now'
        )

    def _build_evaluator(self) -> ArchEvaluator:
        if self._evaluator is None:
            self._evaluator = self.runner.test_loop.build_evaluator(log_file=None)
        return self._evaluator

    def _set_teacher(self, path: Path) -> None:
        if hasattr(self.model, 'set_teacher'):
            self.model.set_teacher(teacher_of(self.model, self.runner.cfg, path))

    # ---- does it fall apart? -----------------------------------------------------------------

    def look(self) -> None:
        """Rate the full path; stop, with the weights of the last look, if it fell behind."""
        with averaged_weights(self.runner):
            rating = self._build_evaluator().rate(self.full_path)
            state = _copied(self.model.state_dict())
        self._looked, self._last = self._epoch, rating
        epochs = self._epoch - self.full_epochs
        self.runner.logger.info(
            f'Full network after {epochs} epoch{"s" * (epochs > 1)} of its slices: {rating}; '
            f'before, {self.start}'
        )
        is_lost = collapsed(rating, self.start)
        fell = is_lost or bool(self.full_epochs) and fell_apart(rating, self.start)
        self._fallen = self._fallen + 1 if fell else 0
        patience = max(1, round(PATIENCE * (self.max_epochs - self.full_epochs)))
        if self.stops and (is_lost or self._fallen >= patience):
            self._stop(
                f'the full network fell from {self.start} to {rating} on {rating.num_images} '
                'held-out images while its slices were trained. Lower optim_wrapper.optimizer.lr '
                'or param_scheduler.0.second, or enlarge batch_size.'
            )
            return
        if not (fell and self.stops):
            self._good, self._good_epoch = state, self._epoch
        if fell and self._epoch == self.max_epochs:
            self.runner.logger.info(
                f'The full network ends at {rating}, and had {self.start} before its slices '
                'were trained: ratings tell which slices are better, not what each reaches when '
                'it is trained alone'
            )

    def _stop(self, why: str) -> None:
        self._stopped = self.stop_training = True
        self.model.load_state_dict(self._good)
        _restart_averages(self.runner)
        trained = self._good_epoch > self.full_epochs
        weights = f'of epoch {self._good_epoch}' if trained else 'of the full network alone'
        self.runner.logger.warning(
            f'Training stops: {why} The search goes on with the weights {weights}'
        )

    def before_rating(self) -> None:
        """The last checkpoint is of the weights that are rated."""
        if changed := not self.trains_paths:  # full_share=1
            self.start_paths()
        elif not self._stopped:
            self.keep_better_full()
        self._evaluator = None  # the test loop has its own
        if not (changed or self._stopped):
            return
        hub = self.runner.message_hub  # as it is at the end of an epoch, also after a resume
        hub.update_info('epoch', self._epoch - 1)
        hub.update_info('iter', self._iter - 1)
        for hook in self.runner.hooks:
            if isinstance(hook, CheckpointHook):
                meta = dict(epoch=self._epoch, iter=self._iter)
                hook._save_checkpoint_with_step(self.runner, self._epoch, meta)

    # ---- state, and how long it takes --------------------------------------------------------

    def state_dict(self) -> dict:
        """Phase, what the full path was rated with, and the last good weights."""
        state = dict(super().state_dict(), full_epochs=self.full_epochs)
        if self.start is None:
            return state
        start = {k: list(v) if isinstance(v, tuple) else v for k, v in self.start.record().items()}
        return dict(
            state, start=start, looked=self._looked, stopped=self._stopped,
            fallen=self._fallen, good=self._good, good_epoch=self._good_epoch,
        )  # fmt: skip

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from :meth:`state_dict`; in the second phase with the teacher in ``full.pth``.

        Raises:
            ValueError: If its first phase has another length.
            FileNotFoundError: If ``full.pth`` is gone.
        """
        theirs = state.get('full_epochs', self.full_epochs)
        if theirs != self.full_epochs:
            raise ValueError(
                f'the checkpoint is of a run whose full network is trained for {theirs} epochs; '
                f'max_epochs and full_share of the train_cfg make it {self.full_epochs}. Set them '
                'as they were'
            )
        super().load_state_dict(state)
        if not isinstance(state.get('start'), Mapping):
            return
        start = {k: tuple(v) if isinstance(v, list) else v for k, v in state['start'].items()}
        self.start = Rating(**{'top1_pct': None, 'loss': None, **start})
        self._looked, self._good_epoch = int(state['looked']), int(state['good_epoch'])
        self._good, self._fallen = dict(state['good']), int(state.get('fallen', 0))
        self._stopped = self.stop_training = bool(state['stopped'])
        path = Path(self.runner.work_dir) / FULL
        if not path.is_file():
            raise FileNotFoundError(
                f'no {path}: it is the network that teaches the slices. Resume from the checkpoint '
                f'of epoch {self.full_epochs} or before, which writes it again'
            )
        self._set_teacher(path)

    def stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: the looks at the full network, and what the test loop does."""
        stages = super().stages(runner)
        known = [stage.seconds_each for stage in stages if stage.name == 'rating']
        each = known[0] if known else time_a_rating(runner.test_loop)[1]
        number = self.max_epochs - self.full_epochs + 1
        looks = Stage('looks at the full network', 'ratings', number, each, SPREAD, grows=True)
        return [looks, *stages]


def learned_nothing(
    rating: Rating, largest_class_pct: float | None, constant_loss: float | None
) -> bool:
    """Whether a network is rated no better than an answer that does not look at the image.

    By its top-1, within sampling error, and by its cross entropy: one that is sure of itself may
    answer well with a large cross entropy, and few images may hide what it has learned.
    """
    if largest_class_pct is None or constant_loss is None:
        return False
    # A loss of NaN is not below.
    return not rating.loss < constant_loss and is_constant(rating, largest_class_pct)


def fell_apart(rating: Rating, start: Rating) -> bool:
    """Whether a path is rated worse than it was, beyond chance and by more than a point.

    Args:
        rating (Rating): Now; without a finite score it fell apart.
        start (Rating): Before, on the same images.
    """
    if not math.isfinite(rating.score):
        return True
    difference = paired_difference(rating, start)
    is_worse = difference.mean > 0 and difference.is_beyond_chance
    return bool(is_worse and _points_lost(rating, start) > MAX_LOSS_OF_POINTS)


def _points_lost(rating: Rating, start: Rating) -> float:
    """Of top-1, or of the metric that stands in its place, in percent."""
    in_percent = rating.metric is None or rating.metric.startswith(PERCENT)
    return (_quality(start) - _quality(rating)) * (1 if in_percent else 100)


def collapsed(rating: Rating, start: Rating) -> bool:
    """Whether more of the top-1, or of the metric, is lost than forgetting some images explains."""
    kept = _quality(rating) >= (1 - MAX_LOSS_SHARE) * _quality(start)
    return not (math.isfinite(rating.score) and kept)


def _quality(rating: Rating) -> float:
    return rating.top1_pct if rating.metric is None else rating.value


def _copied(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """On the CPU, where a checkpoint is loaded to."""
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _restart_averages(runner: Runner) -> None:
    """Averaged weights begin anew: those before were in another order, or went astray."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            hook.ema_model.module.load_state_dict(hook.src_model.state_dict())
            hook.ema_model.steps.zero_()

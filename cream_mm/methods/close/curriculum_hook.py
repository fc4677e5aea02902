"""The curriculum on the sharing extent: when a bank begins, from what, and what begins anew."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

from mmengine.hooks import EMAHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ...engine.distributed import unwrap
from ...engine.loops.supernet_train_loop import supernet_of
from ...registry import HOOKS
from .glow_bank import NORMS, inherit


@HOOKS.register_module()
class CurriculumHook(Hook):
    """Takes more banks of weights into use while a supernet trains.

    At the start of an epoch, in this order: one more bank is in use; it inherits the weights of
    the one that its positions had before; the router's own weights for it inherit; optimizer and
    learning rate begin anew, if they are to. All of it is done to the tensors that are there, and
    how many banks are in use is one of them: a resumed run, or one from a checkpoint of
    ``load_from``, goes on from what the checkpoint holds and grows only by what it lacks.

    Before each step it tells the router (seed, step), of which its draws are a function.

    Args:
        schedule (Sequence[int | float]): The epoch from which on there are 1, 2, 3, ... banks;
            epochs count from 1. Numbers below 1 are shares of the run: of 1,000 epochs
            ``(0, .2, .4, .6, .8)``, the default, is ``(1, 201, 401, 601, 801)``. An epoch may
            stand there several times.
        restart_at (Sequence[int | float]): Epochs at whose start the optimizer forgets its
            momentum and learning rates and their schedules start again; a schedule that follows
            the training loss then begins with that of the epoch before. Defaults to ``(.4,)``.
        inherit (bool): Whether a bank inherits weights. Defaults to True.
        inherit_norms (str): 'add' (default), as published, or 'copy': what batch norm inherits, see
            :func:`inherit`. Where norms scale, 'copy' is the gentler one.
        inherit_gate (bool): Whether the router's weights for it do. Defaults to True.
        keep_momentum (bool): Keep the optimizer's momentum of these; it was gathered by a bank
            that no position used. Defaults to False: it is zeroed.
        reset_plateau (bool): Let schedules that wait for a better loss forget the best one when a
            bank begins, which may raise the loss. Defaults to False, as released.
        blind (bool): As the released code does, leave what the router has inherited, all of its
            last layer, as it is until the next restart; its gradient counts in the norm that is
            clipped. Defaults to False.

    Raises:
        ValueError: If an epoch is out of range or order, or there are more of them than banks.

    Reference:
        CLOSE (Zhou et al., ECCV 2022): curriculum, weight inheritance (WIT), schedule restart
        (SRT); ``blind`` comes from new Parameters that the released optimizer does not know.
    """

    priority = 'HIGH'  # before what averages weights, and before what runs the model

    def __init__(
        self,
        schedule: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8),
        restart_at: Sequence[float] = (0.4,),
        *,
        inherit: bool = True,
        inherit_norms: str = 'add',
        inherit_gate: bool = True,
        keep_momentum: bool = False,
        reset_plateau: bool = False,
        blind: bool = False,
    ):
        _check('schedule', schedule)
        _check('restart_at', restart_at)
        if not schedule or schedule[0] > 1:
            raise ValueError(f'schedule starts at epoch 1 (or 0, a share); got {list(schedule)}')
        self.schedule, self.restart_at = schedule, restart_at
        if inherit_norms not in NORMS:
            raise ValueError(f'inherit_norms is one of {NORMS}; got {inherit_norms!r}')
        self.inherit, self.inherit_norms = inherit, inherit_norms
        self.inherit_gate = inherit_gate
        self.keep_momentum, self.reset_plateau, self.blind = keep_momentum, reset_plateau, blind
        self._restarted = 0  # epoch of the last restart
        self._unseen: list[Parameter] = []  # which the optimizer leaves as they are
        self._saved: dict = {}  # this, of a checkpoint

    # ---- the run -----------------------------------------------------------------------------

    def before_run(self, runner: Runner) -> None:
        """What a restart goes back to; nothing was loaded yet."""
        wrapper = getattr(runner, 'optim_wrapper', None)
        if not isinstance(wrapper, OptimWrapper) or isinstance(wrapper, OptimWrapperDict):
            return  # no training, or what before_train refuses
        self._groups = [
            deepcopy({key: value for key, value in group.items() if key != 'params'})
            for group in wrapper.param_groups
        ]
        self._schedules = [deepcopy(one.state_dict()) for one in runner.param_schedulers or []]

    def before_train(self, runner: Runner) -> None:
        if not isinstance(getattr(runner.optim_wrapper, 'optimizer', None), Optimizer):
            raise ValueError('CurriculumHook restarts one optimizer; this run has several')
        self._starts = epochs_of(self.schedule, runner.max_epochs, 'schedule')
        self._restarts = epochs_of(self.restart_at, runner.max_epochs, 'restart_at')
        if any(v < 1 for v in self.schedule[1:]) and len(set(self._starts)) < len(self._starts):
            runner.logger.warning(
                f'{runner.max_epochs} epochs are too few for the schedule of CurriculumHook: '
                f'several banks begin at once, at epochs {self._starts}'
            )
        supernet = supernet_of(unwrap(runner.model))
        if not hasattr(supernet, 'router'):
            raise ValueError(
                f'CurriculumHook needs a supernet with banks; {type(supernet).__name__} has none'
            )
        if len(self._starts) > supernet.router.num_banks:
            raise ValueError(
                f'schedule={list(self.schedule)} of CurriculumHook ends with {len(self._starts)} '
                f'banks in use; the router has num_banks={supernet.router.num_banks}'
            )
        if self.blind:
            runner.optim_wrapper.optimizer.register_step_pre_hook(self._look_away)
            names = self._saved.get('unseen', [])
            named = unwrap(runner.model).named_parameters()
            self._unseen = [param for name, param in named if name in names]

    def before_train_epoch(self, runner: Runner) -> None:
        epoch, said = runner.epoch + 1, []
        wanted = sum(start <= epoch for start in self._starts)
        own, *averages = _supernets(runner)
        before = own.num_active
        for average in averages:
            self._grow(average, wanted)
        rows = self._grow(own, wanted)
        if not self.keep_momentum:
            _forget_momentum(runner.optim_wrapper.optimizer, rows)
        if self.blind and rows:
            self._unseen = [param for param, _ in rows]
        if epoch in self._restarts and epoch != self._restarted:
            self._restart(runner)
            self._restarted, self._unseen = epoch, []
            said.append('optimizer and learning rate begin anew')
        if own.num_active > before:
            if self.reset_plateau:
                _forget_best(runner.param_schedulers or [])
            said.insert(0, f'{own.num_active} of {own.router.num_banks} banks in use')
        if said:
            runner.logger.info(f'epoch {epoch}: {", ".join(said)}')
        self._num_active = own.num_active

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        supernet_of(unwrap(runner.model)).router.step = (runner.seed, runner.iter)
        runner.message_hub.update_scalar('train/banks', self._num_active)

    # ---- a switch ----------------------------------------------------------------------------

    def _grow(self, supernet: BaseModule, wanted: int) -> list[tuple[Parameter, int]]:
        """Take banks into use until ``wanted`` are; what of the router was changed, row by row."""
        rows = []
        while supernet.num_active < wanted:
            for new, old in supernet.grow():
                if self.inherit:
                    inherit(new, old, self.inherit_norms)
            if self.inherit_gate:
                rows += supernet.router.inherit()
        return rows

    def _restart(self, runner) -> None:
        wrapper = runner.optim_wrapper
        wrapper.optimizer.state.clear()
        for group, values in zip(wrapper.param_groups, self._groups):
            group.update(deepcopy(values))
        for schedule, state in zip(runner.param_schedulers or [], self._schedules):
            last = getattr(schedule, 'last_loss', None)
            schedule.load_state_dict(deepcopy(state))
            if last is not None:
                schedule.step(dict(loss=last))

    def _look_away(self, optimizer: Optimizer, args, kwargs) -> None:
        """Between the clipping of gradients and the step."""
        for param in self._unseen:
            param.grad = None

    # ---- the checkpoint ----------------------------------------------------------------------

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        unseen = {id(param) for param in self._unseen}
        named = unwrap(runner.model).named_parameters()
        names = [name for name, param in named if id(param) in unseen]
        checkpoint['curriculum'] = dict(restarted=self._restarted, unseen=names)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        saved = checkpoint.get('curriculum')
        if runner._resume and isinstance(saved, dict):
            restarted, unseen = saved.get('restarted'), saved.get('unseen')
            if type(restarted) is int and isinstance(unseen, list):
                self._restarted, self._saved = restarted, saved


def epochs_of(values: Sequence[float], max_epochs: int, name: str) -> list[int]:
    """Epochs, which count from 1; numbers below 1 are shares of ``max_epochs``.

    Raises:
        ValueError: If one lies beyond the run.

    >>> epochs_of((0, 0.2, 0.4), 1000, 'schedule'), epochs_of((1, 21, 41), 100, 'schedule')
    ([1, 201, 401], [1, 21, 41])
    """
    # A share of 0.29 of 100 epochs is 28.999999999999996 of them.
    epochs = [int(v * max_epochs + 1e-6) + 1 if v < 1 else int(v) for v in values]
    if late := [epoch for epoch in epochs if epoch > max_epochs]:
        raise ValueError(
            f'{name}={list(values)} of CurriculumHook: epoch {late[0]} is beyond the run of '
            f'{max_epochs} epochs. Leave it out, or write shares of the run, such as '
            'schedule=[0,0.2,0.4,0.6,0.8] and restart_at=[0.4]'
        )
    return epochs


def _check(name: str, values: Sequence[float]) -> None:
    ok = isinstance(values, (list, tuple)) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and (0 <= v < 1 or v == v // 1 > 0)
        for v in values
    )
    if not ok or list(values) != sorted(values):
        raise ValueError(
            f'{name} of CurriculumHook lists epochs from 1 on, or shares of the run below 1, in '
            f'order; got {values!r}'
        )


def _supernets(runner) -> Iterator[BaseModule]:
    """That which is trained, then its averages."""
    yield supernet_of(unwrap(runner.model))
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            yield supernet_of(hook.ema_model.module)


def _forget_momentum(optimizer: Optimizer, rows: list[tuple[Parameter, int]]) -> None:
    """Zero what an optimizer has gathered about rows of parameters."""
    for param, row in rows:
        for value in optimizer.state.get(param, {}).values():
            if isinstance(value, Tensor) and value.shape == param.shape:
                value[row] = 0


def _forget_best(schedules: list[_ParamScheduler]) -> None:
    for schedule in schedules:
        if isinstance(schedule, ReduceOnPlateauParamScheduler):
            schedule._reset()

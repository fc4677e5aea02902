"""Keeps losses and gradients that are not finite away from the weights."""

import math
from collections import deque
from collections.abc import Callable
from functools import partial

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import print_log
from mmengine.optim import ApexOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.nn import Parameter
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Looks at every loss and gradient before the optimizer steps; nothing is trained with NaN.

    Stops the run with one error. What was computed stays: the last checkpoint and ``board.json``
    are from before. With ``action='skip'`` the step is left out instead: weights, batch norm's
    statistics and the board stay as they were.

    On several GPUs the ranks agree, by one all-reduced number. On a GPU the answer travels to the
    host while the backward pass is being queued, and is waited for before the optimizer steps:
    the wait ends with the forward pass, so the GPU has work meanwhile. (mmengine's log reads the
    loss in every step too.) Whether the gradients are finite is one more number, waited for when
    the backward pass ends. Where gradients are scaled (``--amp``), the scaler leaves out the steps
    whose gradients overflow and tries a smaller scale; those are none of this hook's business.

    The number of steps left out is in the checkpoints, so a resumed run counts on.

    Args:
        action (str): ``'stop'`` (default) or ``'skip'``.
        max_share (float): With ``'skip'``, the run is stopped when more than this share of the
            last 100 steps had to be left out. Defaults to 0.1.

    Raises:
        FloatingPointError: With the step, the path, the learning rate and what to change.
        ValueError: If an argument is none of these.
    """

    priority = 'VERY_HIGH'

    def __init__(self, action: str = 'stop', max_share: float = 0.1):
        if action not in ('stop', 'skip'):
            raise ValueError(f"action is 'stop' or 'skip'; got {action!r}")
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share is a share, 0 to 1; got {max_share}')
        self.action = action
        self.max_share = max_share
        self.num_skipped = 0
        self._recent: deque[bool] = deque(maxlen=100)  # True: left out
        self._leave_out = False
        self._statistics: list[Tensor] = []
        self._before: list[Tensor] = []

    @property
    def left_out(self) -> bool:
        """Whether the last step was left out."""
        return self._leave_out

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            return  # several optimizers: the model steps them itself
        # A hook is called before or after a whole step; this belongs into the middle of it.
        wrapper.backward = partial(self._backward, runner, wrapper.backward)
        wrapper.step = partial(self._step, runner, wrapper.step)
        if self.action == 'skip':
            norms = [m for m in runner.model.modules() if isinstance(m, _BatchNorm)]
            self._statistics = [buffer for norm in norms for buffer in norm.buffers()]
            self._before = [torch.empty_like(buffer) for buffer in self._statistics]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        self._copy(self._before, self._statistics)  # the forward pass moves them

    def _backward(self, runner, backward: Callable, loss: Tensor, **kwargs) -> None:
        is_finite = _read_later(loss)
        # In any case: DistributedDataParallel waits for one backward pass per forward pass.
        backward(loss, **kwargs)
        self._leave_out = not is_finite()
        self._recent.append(False)
        if self._leave_out:
            value = float(loss.detach())
            told = 'on another rank' if math.isfinite(value) else value
            self._stop_or_skip(runner, f'the loss is not finite ({told})')

    def _step(self, runner, step: Callable, **kwargs) -> None:
        if not self._leave_out and (param := _bad_gradient(runner.optim_wrapper)) is not None:
            self._leave_out = True  # on every rank alike: the gradients were averaged
            names = {id(p): name for name, p in unwrap(runner.model).named_parameters()}
            name = names.get(id(param), 'a parameter')
            self._stop_or_skip(runner, f'the loss is finite, but the gradient of {name} is not,')
        if not self._leave_out:
            step(**kwargs)

    def _stop_or_skip(self, runner, what: str) -> None:
        about = f'{what} {self._place(runner)}'
        self._recent[-1] = True
        if self.action == 'stop':
            raise FloatingPointError(
                f'{about}. The weights were not stepped with it; the last checkpoint is from '
                f'before. {_MEND}, then start again (--resume keeps the learning rate of the '
                'checkpoint; load_from takes its weights alone); or leave such steps out with '
                '--cfg-options default_hooks.finite_loss.action=skip'
            )
        self.num_skipped += 1
        if sum(self._recent) > self.max_share * self._recent.maxlen:
            raise FloatingPointError(
                f'{about}, and {sum(self._recent)} of the last {len(self._recent)} steps were left '
                f'out for that, more than max_share={self.max_share} allows. {_MEND}, and start '
                'again from a checkpoint before this'
            )
        print_log(f'{about}: step left out, {self.num_skipped} so far', 'current', level=30)
        runner.optim_wrapper.zero_grad()
        self._copy(self._statistics, self._before)
        model = unwrap(runner.model)
        if hasattr(model, 'forget_step'):
            model.forget_step()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['finite_loss'] = dict(num_skipped=self.num_skipped, recent=list(self._recent))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        saved = checkpoint.get('finite_loss')
        if not runner._resume or not isinstance(saved, dict):
            return
        count, recent = saved.get('num_skipped'), saved.get('recent')
        if type(count) is int and count >= 0 and isinstance(recent, list):
            self.num_skipped = count
            self._recent.extend(bool(one) for one in recent if isinstance(one, bool))

    @staticmethod
    def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
        if targets:
            torch._foreach_copy_(targets, sources)

    @staticmethod
    def _place(runner) -> str:
        arch = getattr(getattr(unwrap(runner.model), 'backbone', None), 'arch', None)
        path = f', path {arch}' if arch is not None else ''
        rate = runner.optim_wrapper.param_groups[0]['lr']
        return (
            f'at step {runner.iter + 1} of {runner.max_iters}, epoch {runner.epoch + 1}{path}, '
            f'learning rate {rate:.3g}'
        )


_MEND = (
    'Lower optim_wrapper.optimizer.lr, clip gradients with optim_wrapper.clip_grad.max_norm=5, or '
    'enlarge batch_size; with --amp try optim_wrapper.dtype=bfloat16'
)


def _bad_gradient(wrapper: OptimWrapper) -> Parameter | None:
    """A parameter whose gradient is not finite; None where a scaler looks after them."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    if (scaler is not None and scaler.is_enabled()) or isinstance(wrapper, ApexOptimWrapper):
        return None
    params = [param for group in wrapper.optimizer.param_groups for param in group['params']]
    grads = [grad for param in params if (grad := param.grad) is not None]
    if not grads or torch.stack(torch._foreach_norm(grads)).isfinite().all():
        return None
    # A norm may overflow where no number has.
    bad = (p for p in params if p.grad is not None and not p.grad.isfinite().all())
    return next(bad, None)


def _read_later(loss: Tensor) -> Callable[[], bool]:
    """Begin to fetch whether the loss is finite on every rank; the result waits for the answer."""
    finite = torch.isfinite(loss.detach()).float()
    all_reduce(finite, op='min')
    if not finite.is_cuda:
        return lambda: bool(finite)
    answer = finite.to('cpu', non_blocking=True)  # into pinned memory
    arrived = torch.cuda.Event()
    arrived.record()

    def read() -> bool:
        arrived.synchronize()
        return bool(answer)

    return read

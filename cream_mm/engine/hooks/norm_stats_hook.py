"""One set of running statistics for all ranks."""

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import HOOKS


@HOOKS.register_module()
class NormStatsHook(Hook):
    """Averages batch norm's running statistics over the ranks, at the end of each epoch.

    Training does not read them, and an average of moving averages is the moving average of the
    averages: once before a checkpoint and a validation is as good as after each step. The
    statistics of averaged weights (``EMAHook``) are averaged too. Nothing changes on one rank,
    or with synchronised batch norm, beyond rounding.
    """

    def after_train_epoch(self, runner: Runner) -> None:
        models = [runner.model]
        models += [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        norms = (m for model in models for m in model.modules() if isinstance(m, _BatchNorm))
        stats = [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
        all_reduce_params(stats, op='mean')

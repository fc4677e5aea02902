"""Drop path that grows along the training."""

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class DropPathHook(Hook):
    """Lets the drop path of a backbone grow from nothing to its ``drop_path_rate``.

    Before step ``i`` of ``n``, counted from 0, ``backbone.drop_path_scale`` becomes
    ``(i + 1) / n``: a function of the step, so that a resumed run goes on with the right one.

    Args:
        phases (int): How often it grows anew, in parts of the training of equal length. Defaults
            to 1.

    Raises:
        ValueError: If ``phases`` is below 1 or does not divide the steps, or the model's backbone
            has no drop path of that kind.

    Reference:
        NASNet's scheduled drop path, as the released code of NAO has it.
    """

    def __init__(self, phases: int = 1):
        if phases < 1:
            raise ValueError(f'phases of DropPathHook is at least 1; got {phases}')
        self.phases = phases

    def before_train(self, runner: Runner) -> None:
        backbone = getattr(unwrap(runner.model), 'backbone', None)
        if not hasattr(backbone, 'drop_path_scale'):
            raise ValueError(
                'DropPathHook needs a backbone whose drop path can grow; '
                f'{type(backbone).__name__} has none: leave the hook out'
            )

        if runner.max_iters % self.phases:
            raise ValueError(
                f'{runner.max_iters} steps are not {self.phases} phases of as many each, as '
                'DropPathHook needs them: change max_epochs or phases'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        length = runner.max_iters // self.phases
        unwrap(runner.model).backbone.drop_path_scale = (runner.iter % length + 1) / length

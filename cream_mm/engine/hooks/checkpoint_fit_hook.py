"""Refuses a checkpoint of another model."""

from mmengine.hooks import Hook

from ...converters import find_misfit
from ...registry import HOOKS
from ...utils import unwrap


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Compares a loaded checkpoint with the model, for which mmengine has warnings only.

    ``tools/test.py`` has it: numbers of a half-loaded model would look like an answer.

    Raises:
        ValueError: With the number of tensors that do not fit, and the first of them.
    """

    priority = 'VERY_HIGH'  # before EMAHook, which loads them into its copy

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        misfit = find_misfit(unwrap(runner.model).state_dict(), checkpoint['state_dict'])
        if misfit:
            raise ValueError(f'{runner._load_from} is not a checkpoint of this config: {misfit}')

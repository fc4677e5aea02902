"""What loops know is in the checkpoint."""

from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...registry import HOOKS


@HOOKS.register_module()
class LoopStateHook(Hook):
    """Saves ``state_dict()`` of the train loop and of the test loop, where they have one.

    mmengine saves epoch and step and nothing else of a loop: a pool of paths, the phase of an
    alternating search, or a strategy with all that it was told would be lost by a resume.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        states = {name: loop.state_dict() for name, loop in _loops(runner)}
        states = {name: state for name, state in states.items() if state}
        if states:
            checkpoint['loops'] = states

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        states = checkpoint.get('loops')
        if not runner._resume or not isinstance(states, dict):
            return
        for name, loop in _loops(runner):
            if isinstance(states.get(name), dict):
                loop.load_state_dict(states[name])
        if isinstance(states.get('test_loop'), dict) and not isinstance(
            runner._test_loop, BaseLoop
        ):
            runner.test_loop.load_state_dict(states['test_loop'])  # the property builds it


def _loops(runner) -> Iterator[tuple[str, BaseLoop]]:
    """Loops that were built and have a state."""
    for name in ('train_loop', 'test_loop'):
        loop = getattr(runner, f'_{name}')  # the property would build one
        if isinstance(loop, BaseLoop) and hasattr(loop, 'state_dict'):
            yield name, loop

"""``tracker``: TensorBoard, Weights & Biases or MLflow shows a run, by one key of the config."""

import importlib.util
import os
from typing import NamedTuple

from mmengine.config import Config

HOOK = dict(type='cream_mm.TrackerHook')


class Tracker(NamedTuple):
    """What a name stands for."""

    backend: str  # type of the visualizer's backend
    package: str  # what has to be importable


TRACKERS = dict(
    tensorboard=Tracker('cream_mm.TensorboardTracker', 'tensorboard'),
    wandb=Tracker('cream_mm.WandbTracker', 'wandb'),
    mlflow=Tracker('cream_mm.MlflowTracker', 'mlflow'),
)


def check_tracker(cfg: Config) -> None:
    """Whether what ``tracker`` names can be had; imports nothing.

    Raises:
        ValueError: If it names none of :data:`TRACKERS`, or one whose package is not installed.
    """
    for name in _names(cfg):
        if not isinstance(name, str) or name not in TRACKERS:
            raise ValueError(
                f'tracker is {", ".join(map(repr, TRACKERS))}, a list of these, or None; got '
                f'{name!r}'
            )
        package = TRACKERS[name].package
        needed = [package]
        if name == 'mlflow' and not os.environ.get('MLFLOW_TRACKING_URI'):
            needed.append('sqlalchemy')  # of its own file; mlflow-skinny has it not
        if not all(map(_is_installed, needed)):
            raise ValueError(
                f"tracker='{name}' needs the package {package}, which is not installed: "
                f"pip install {package} (or the extra, 'cream-mm[{name}]')"
            )


def fit_tracker(cfg: Config) -> None:
    """Put what ``tracker`` asks for into a config, in place: the visualizer's backends and a hook.

    What an earlier ``tracker`` has put there, as into the copy that a run leaves, is taken out.
    """
    names = _names(cfg)
    ours = {tracker.backend for tracker in TRACKERS.values()}
    visualizer = cfg.get('visualizer') or dict(  # as mmengine's Runner has it
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    before = list(visualizer.get('vis_backends') or [])
    others = [one for one in before if one.get('type') not in ours]
    if names or len(others) < len(before):
        backends = [*others, *(dict(type=TRACKERS[name].backend) for name in names)]
        cfg.visualizer = {**visualizer, 'vis_backends': backends}
    hooks = cfg.get('default_hooks') or {}
    if names:
        cfg.default_hooks = {**hooks, 'tracker': HOOK}
    elif len(others) < len(before):  # else a hook of the user's own, for backends of the user's
        cfg.default_hooks = {key: value for key, value in hooks.items() if key != 'tracker'}


def _names(cfg: Config) -> list[str]:
    given = cfg.get('tracker')
    if given is None:
        return []
    given = given if isinstance(given, (list, tuple)) else [given]
    return [name for i, name in enumerate(given) if name not in given[:i]]


def _is_installed(package: str) -> bool:
    """A folder of that name, which these leave where one works, is no package."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None

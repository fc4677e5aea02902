"""TensorBoard, Weights & Biases and MLflow as backends of mmengine's visualizer.

They differ from mmengine's own: nothing of the user's folder is uploaded, numbers keep their step,
what they write is in the run's work_dir unless the tool's own variables say otherwise, and they
run with current versions of the packages.
"""

import atexit
import os
import time
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.visualization.vis_backend import BaseVisBackend

from ..registry import VISBACKENDS
from .words import short_path

PROJECT = 'cream_mm'


class _Tracker(BaseVisBackend):
    """What the three have in common; each opens its run with the config, once.

    Args:
        save_dir (str): Where the visualizer writes, ``WORK_DIR/TIMESTAMP/vis_data``.
    """

    _work_dir: Path | None = None
    _is_open = False

    @property
    def experiment(self) -> Any:
        """The package's own object, to write more with."""
        self._open_once()
        return self._run

    def _init_env(self) -> None:
        """mmengine's name; a run is opened by what it is first asked to write."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        self._work_dir = Path(config.work_dir).absolute()
        self._open_once()
        self._write_config(config)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Write a picture, (H, W, 3), RGB, uint8."""
        self._open_once()
        self._write_image(name, image, step)

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        self.add_scalars({name: value}, step)

    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any
    ) -> None:
        self._open_once()
        self._write_scalars(_numbers(scalar_dict), step)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._end()

    def _open_once(self) -> None:
        if not self._is_open:
            self._work_dir = self._work_dir or Path(self._save_dir).absolute()
            self._work_dir.mkdir(parents=True, exist_ok=True)
            self._open()
            self._is_open = True

    @property
    def how_to_look(self) -> str:
        """What a user types to see the run."""
        raise NotImplementedError


@VISBACKENDS.register_module()
class TensorboardTracker(_Tracker):
    """Event files in ``WORK_DIR/TIMESTAMP/vis_data``."""

    def _open(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run = SummaryWriter(self._save_dir)

    def _write_config(self, config: Config) -> None:
        text = '\n'.join(f'    {line}' for line in config.pretty_text.splitlines())
        self._run.add_text('config', text)  # as code: it is shown as markdown

    def _write_scalars(self, scalars: dict[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._run.add_scalar(name, value, step)

    def _write_image(self, name: str, image: np.ndarray, step: int) -> None:
        self._run.add_image(name, image, step, dataformats='HWC')
        self._run.flush()

    def _end(self) -> None:
        self._run.close()

    @property
    def how_to_look(self) -> str:
        return f'tensorboard --logdir {short_path(self._work_dir)}'


@VISBACKENDS.register_module()
class WandbTracker(_Tracker):
    """A run in ``WORK_DIR/wandb``, offline unless ``WANDB_MODE`` says otherwise.

    ``WANDB_PROJECT``, ``WANDB_NAME`` and wandb's other variables are obeyed.
    """

    def _open(self) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            dir=str(self._work_dir),
            mode=os.environ.get('WANDB_MODE') or 'offline',
            project=os.environ.get('WANDB_PROJECT') or PROJECT,
            name=os.environ.get('WANDB_NAME') or self._work_dir.name,
            settings=wandb.Settings(save_code=False),
        )
        # A training counts steps, a validation epochs, a search paths: wandb's own counter would
        # drop all that is behind what it has seen.
        self._run.define_metric('*', step_metric='step')

    def _write_config(self, config: Config) -> None:
        self._run.config.update(config.to_dict(), allow_val_change=True)

    def _write_scalars(self, scalars: dict[str, float], step: int) -> None:
        self._run.log({**scalars, 'step': step})

    def _write_image(self, name: str, image: np.ndarray, step: int) -> None:
        self._run.log({name: self._wandb.Image(image), 'step': step})

    def _end(self) -> None:
        self._run.finish()

    @property
    def how_to_look(self) -> str:
        if getattr(self._run.settings, 'mode', None) != 'offline':
            return str(self._run.url)
        return f'wandb sync {short_path(Path(self._run.dir).parent)}'


@VISBACKENDS.register_module()
class MlflowTracker(_Tracker):
    """A run in the store that ``MLFLOW_TRACKING_URI`` names, else in ``WORK_DIR/mlflow.db``.

    ``MLFLOW_EXPERIMENT_NAME`` is obeyed. Values of the config that stand in no list are its
    parameters; the whole config is the file ``config.py`` of the run.
    """

    def _open(self) -> None:
        from mlflow import MlflowClient

        uri = os.environ.get('MLFLOW_TRACKING_URI')
        self._uri = uri or f'sqlite:///{self._work_dir / "mlflow.db"}'
        self._run = MlflowClient(tracking_uri=self._uri)
        name = os.environ.get('MLFLOW_EXPERIMENT_NAME') or PROJECT
        experiment = self._run.get_experiment_by_name(name)
        if experiment is None:
            place = None if uri else (self._work_dir / 'mlartifacts').as_uri()
            number = self._run.create_experiment(name, artifact_location=place)
        else:
            number = experiment.experiment_id
        run = self._run.create_run(number, run_name=self._work_dir.name)
        self.run_id = run.info.run_id
        atexit.register(self._end, 'FAILED')  # of a run that ends by itself, taken back below

    def _write_config(self, config: Config) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)[:500]) for key, value in _leaves(config.to_dict())]
        for start in range(0, len(params), 100):  # as many as a call takes
            self._run.log_batch(self.run_id, params=params[start : start + 100])
        self._run.log_text(self.run_id, config.pretty_text, 'config.py')

    def _write_scalars(self, scalars: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in scalars.items()]
        self._run.log_batch(self.run_id, metrics=metrics)

    def _write_image(self, name: str, image: np.ndarray, step: int) -> None:
        self._run.log_image(self.run_id, image, f'{name}.png')

    def _end(self, status: str = 'FINISHED') -> None:
        atexit.unregister(self._end)
        self._run.set_terminated(self.run_id, status)

    @property
    def how_to_look(self) -> str:
        return f'mlflow ui --backend-store-uri {self._uri}'


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers, tensors and arrays of one included."""
    numbers = {}
    for name, value in values.items():
        if hasattr(value, 'item') and getattr(value, 'size', None) is not None:
            count = value.numel() if hasattr(value, 'numel') else value.size
            value = value.item() if count == 1 else None
        if isinstance(value, Real):
            numbers[name] = float(value)
    return numbers


def _leaves(values: Mapping[str, Any], above: str = '') -> list[tuple[str, Any]]:
    """Dotted names and values that stand in no list of dictionaries."""
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f'{above}{key}.')
        elif not (isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value)):
            found.append((f'{above}{key}', value))
    return found

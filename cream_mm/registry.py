"""Registries of cream_mm: children of mmengine's, so that ``cream_mm.X`` is found from any scope.

A config of mmpretrain or mmdet that says ``custom_imports = dict(imports=['cream_mm'])`` can use
``type='cream_mm.CreamNet'`` wherever it names a backbone. mmengine imports this file when it meets
the scope, and the packages that register in a registry when something is looked up there.
"""

import ast
import functools
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import Registry

_SCOPE = 'cream_mm'


def _registry(name: str, parent: Registry, *packages: str) -> Registry:
    """A child of ``parent``; ``packages`` are what registers in it, beside the methods."""
    locations = [f'{_SCOPE}.{package}' for package in (*packages, 'methods')]
    return Registry(name, parent=parent, scope=_SCOPE, locations=locations)


MODELS = _registry(
    'model',
    MMENGINE_MODELS,
    'models.backbones',
    'models.backbones.mobilenet_v2',
    'models.classifiers',
    'models.heads',
    'models.supernets',
)
MODEL_WRAPPERS = _registry('model_wrapper', MMENGINE_MODEL_WRAPPERS, 'engine')
DATASETS = _registry(
    'dataset',
    MMENGINE_DATASETS,
    'datasets',
    'datasets.dataset_part',
    'datasets.image_folder',
    'datasets.labelled_images',
    'datasets.unlabelled_images',
)
DATA_SAMPLERS = _registry('data sampler', MMENGINE_DATA_SAMPLERS, 'datasets.balanced_sampler')
TRANSFORMS = _registry('transform', MMENGINE_TRANSFORMS, 'datasets.transforms')
HOOKS = _registry('hook', MMENGINE_HOOKS, 'engine', 'reports.tracker_hook')
RUNNERS = _registry('runner', MMENGINE_RUNNERS, 'engine')
LOOPS = _registry('loop', MMENGINE_LOOPS, 'engine')
METRICS = _registry('metric', MMENGINE_METRICS, 'evaluation')
OPTIMIZERS = _registry('optimizer', MMENGINE_OPTIMIZERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _registry(
    'optimizer wrapper constructor', MMENGINE_CONSTRUCTORS, 'engine'
)
PARAM_SCHEDULERS = _registry('parameter scheduler', MMENGINE_PARAM_SCHEDULERS, 'engine')
VISBACKENDS = _registry('vis backend', MMENGINE_VISBACKENDS, 'engine.trackers')
TASK_UTILS = _registry('task util', MMENGINE_TASK_UTILS, 'spaces', 'search')
"""Spaces, samplers, strategies."""


def type_name(kind: Any) -> str:
    """What ``type=`` of a config names, without scope or module.

    A type is text (``'mmdet.CocoDataset'``), a class or function, or, in a config of mmengine's
    lazy form, an import that is still to be done.

    >>> type_name('mmdet.CocoDataset'), type_name(Registry), type_name(None)
    ('CocoDataset', 'Registry', '')
    """
    if inspect.isclass(kind) or inspect.isfunction(kind):
        return kind.__name__
    return '' if kind is None else str(kind).rpartition('.')[2]


def kind_of(component: Mapping) -> str:
    """:func:`type_name` of a component of a config; empty where it has no ``type``."""
    return type_name(component.get('type'))


def argument_names(cls: Callable) -> set[str] | None:
    """Arguments of a class; through ``**kwargs``, those of its bases too. None: it takes any."""
    if not inspect.isclass(cls):
        parameters = inspect.signature(cls).parameters.values()
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return None if takes_any else {p.name for p in parameters}
    names = set()
    for base in cls.__mro__:
        if '__init__' not in vars(base):
            continue
        if base is object:
            return None
        parameters = list(inspect.signature(base.__init__).parameters.values())
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self'}


@functools.cache
def runner_arguments() -> tuple[str, ...]:
    """Names of the arguments of mmengine's Runner, in their order.

    They are read off its source: to import it takes as long as to import torch twice.
    """
    package = importlib.util.find_spec('mmengine').submodule_search_locations[0]
    tree = ast.parse(Path(package, 'runner/runner.py').read_text(encoding='utf-8'))
    runner = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == 'Runner')
    init = next(n for n in runner.body if getattr(n, 'name', '') == '__init__')
    return tuple(a.arg for a in (*init.args.args, *init.args.kwonlyargs))[1:]

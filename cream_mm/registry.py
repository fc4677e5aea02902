"""Registries of cream_mm: children of mmengine's, so that ``cream_mm.X`` is found from any scope.

A config of mmpretrain or mmdet that says ``custom_imports = dict(imports=['cream_mm'])`` can use
``type='cream_mm.CreamNet'`` wherever it names a backbone.
"""

import inspect
from collections.abc import Callable

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
from mmengine.registry import Registry

_SCOPE = 'cream_mm'

MODELS = Registry('model', parent=MMENGINE_MODELS, scope=_SCOPE)
MODEL_WRAPPERS = Registry('model_wrapper', parent=MMENGINE_MODEL_WRAPPERS, scope=_SCOPE)
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope=_SCOPE)
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope=_SCOPE)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope=_SCOPE)
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope=_SCOPE)
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope=_SCOPE)
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope=_SCOPE)
OPTIMIZERS = Registry('optimizer', parent=MMENGINE_OPTIMIZERS, scope=_SCOPE)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=MMENGINE_CONSTRUCTORS, scope=_SCOPE
)
PARAM_SCHEDULERS = Registry('parameter scheduler', parent=MMENGINE_PARAM_SCHEDULERS, scope=_SCOPE)
TASK_UTILS = Registry('task util', parent=MMENGINE_TASK_UTILS, scope=_SCOPE)
"""Samplers, and later strategies."""


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

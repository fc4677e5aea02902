"""One-shot architecture search for OpenMMLab: search a backbone, put it into any detector.

Importing this package registers everything under the scope ``cream_mm``. It reads no data and
touches no network.
"""

from .environment import check_family
from .import_prints import silence_onedl
from .mmcv_ext import install_stand_in
from .version import __version__

check_family()
silence_onedl()
install_stand_in()  # before anything imports mmcv.ops

from . import datasets, engine, methods, models, search  # noqa: E402  (they register their classes)
from .apis.create_model import create_model, list_models  # noqa: E402

__all__ = [
    '__version__',
    'create_model',
    'datasets',
    'engine',
    'list_models',
    'methods',
    'models',
    'search',
]

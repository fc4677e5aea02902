"""Networks whose weights many architectures share."""

from .block_supernet import BlockSupernet
from .cut_path import cut_path
from .mbconv_supernet import CreamSupernet
from .path_layer import PathLayer
from .supernet import Supernet

__all__ = ['BlockSupernet', 'CreamSupernet', 'PathLayer', 'Supernet', 'cut_path']

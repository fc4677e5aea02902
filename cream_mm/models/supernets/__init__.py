"""Networks whose weights many architectures share."""

from .block_supernet import BlockSupernet
from .cut_path import cut_path
from .mbconv_supernet import CreamSupernet
from .path_layer import PathLayer

__all__ = ['BlockSupernet', 'CreamSupernet', 'PathLayer', 'cut_path']

"""Networks whose weights many architectures share."""

from .cut_path import cut_path
from .mbconv_supernet import CreamSupernet
from .path_layer import PathLayer

__all__ = ['CreamSupernet', 'PathLayer', 'cut_path']

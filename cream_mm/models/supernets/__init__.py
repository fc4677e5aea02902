"""Networks whose weights many architectures share."""

from .cut_path import cut_path
from .mbconv_supernet import CreamSupernet

__all__ = ['CreamSupernet', 'cut_path']

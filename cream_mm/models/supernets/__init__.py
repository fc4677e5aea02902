"""Networks whose weights many architectures share."""

from .cream_supernet import CreamSupernet

__all__ = ['CreamSupernet']

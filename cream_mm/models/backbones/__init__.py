"""Fixed networks: what users ship."""

from .cream_net import CreamNet

__all__ = ['CreamNet']

"""Fixed networks: what users ship."""

from .cream_net import CreamNet
from .nas_bench_201_net import NASBench201Net

__all__ = ['CreamNet', 'NASBench201Net']

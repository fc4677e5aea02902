"""Fixed networks: what users ship."""

from .cream_net import CreamNet
from .fixed_network import FixedNetwork, network_class, own_class
from .nao_net import NAONet
from .nas_bench_201_net import NASBench201Net

__all__ = ['CreamNet', 'FixedNetwork', 'NAONet', 'NASBench201Net', 'network_class', 'own_class']

"""What every space, cost model, sampler, strategy and supernet promises, as tests.

A class of one's own joins by a subclass with a fixture::

    from cream_mm.testing.contracts import SpaceContract

    class TestMySpace(SpaceContract):
        @pytest.fixture
        def space(self):
            return MySpace()

They need pytest, which the package itself does not.
"""

from .costs import CostModelContract
from .ratings import RatingContract
from .samplers import SamplerContract
from .spaces import SpaceContract
from .strategies import StrategyContract
from .supernets import SupernetContract

__all__ = [
    'CostModelContract',
    'RatingContract',
    'SamplerContract',
    'SpaceContract',
    'StrategyContract',
    'SupernetContract',
]

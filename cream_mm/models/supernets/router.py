"""Which bank of weights stands at which position of a path."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import Parameter

from ...registry import MODELS
from ...spaces import Space
from ...structures import Arch


class Router(BaseModule):
    """Maps the positions of an architecture to banks, each a full set of operations' weights.

    Args:
        num_positions (int): Positions of the space.
        num_banks (int): Banks that there are; those in use now are the first ``num_active``.

    Attributes:
        learns (bool): Whether :meth:`weights` has a gradient to learn by. Defaults to False.
    """

    learns = False

    def __init__(self, num_positions: int, num_banks: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.num_positions = num_positions
        self.num_banks = num_banks

    @property
    def num_active(self) -> int:
        """Banks in use."""
        return self.num_banks

    def banks(self, arch: Arch) -> tuple[int, ...]:
        """The bank of each position, the same each time it is asked."""
        raise NotImplementedError

    def weights(self, arch: Arch) -> Tensor | None:
        """What a training step learns the routing by.

        Returns:
            Tensor | None: (positions, num_active), one-hot in value, with the gradient of whatever
            the router learns by; None where there is nothing to learn, so that :meth:`banks` holds.
        """
        return None

    def grow(self) -> list[tuple[int, int]]:
        """Take one more bank into use.

        Returns:
            list[tuple[int, int]]: (new, old): each bank that begins, and the one in use that its
            positions had before, whose weights it may inherit.

        Raises:
            ValueError: If all are in use.
        """
        raise ValueError(f'all {self.num_banks} banks of {type(self).__name__} are in use')

    def inherit(self) -> list[tuple[Parameter, int]]:
        """Let the router's own weights for the newest bank inherit from those of the one before.

        Returns:
            list[tuple[Parameter, int]]: What was changed, in place: parameters, and rows of them.
        """
        return []

    @classmethod
    def banks_from(
        cls, state_dict: Mapping[str, Tensor], arch: Arch, space: Space, prefix: str = 'router.'
    ) -> tuple[int, ...]:
        """As :meth:`banks`, out of a checkpoint.

        Args:
            state_dict (dict): Weights that hold this router's at ``prefix``.
            arch (Arch): An architecture of ``space``.
            space (Space): Whose positions are routed.
            prefix (str): Defaults to 'router.'.

        Raises:
            KeyError: If they do not.
        """
        raise NotImplementedError


@MODELS.register_module()
class TableRouter(Router):
    """A fixed table, the same for every architecture.

    Args:
        table (Sequence[int]): The bank of each position.
        num_banks (int, optional): Defaults to as many as the table names.

    Raises:
        ValueError: If the table names a bank that there is not.
    """

    def __init__(
        self, table: Sequence[int], num_banks: int | None = None, init_cfg: dict | None = None
    ):
        named = max(table, default=-1) + 1
        num_banks = named if num_banks is None else num_banks
        if not table or min(table) < 0 or named > num_banks:
            raise ValueError(f'a table of banks 0 to {num_banks - 1} is not {list(table)}')
        super().__init__(len(table), num_banks, init_cfg)
        self.register_buffer('table', torch.tensor(list(table), dtype=torch.long))
        self._banks = tuple(int(bank) for bank in table)

    def banks(self, arch: Arch) -> tuple[int, ...]:
        return self._banks

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._banks = tuple(self.table.tolist())  # one wait for the device, not one per step

    @classmethod
    def banks_from(
        cls, state_dict: Mapping[str, Tensor], arch: Arch, space: Space, prefix: str = 'router.'
    ) -> tuple[int, ...]:
        return tuple(state_dict[f'{prefix}table'].tolist())

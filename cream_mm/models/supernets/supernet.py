"""What supernets have in common: what their networks cost, and another path for a moment."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.model import BaseModule
from torch import nn

from ...costs import Budget, build_cost_model
from ...costs.budget import BUDGET_KEYS
from ...registry import argument_names
from ...spaces import Space
from ...structures import Arch


class Supernet(BaseModule):
    """The part of a supernet that does not depend on its layers; none has to be one of it.

    Args:
        space (Space): The search space.
        costs (Mapping, optional): How networks are counted, arguments of :func:`build_cost_model`.
            None: whoever builds it calls :meth:`set_costs`.
        budget (Mapping, optional): Bounds on these costs, see :class:`Budget`.
        init_cfg (dict, optional): As everywhere in OpenMMLab.

    Raises:
        ValueError: If there is a budget without costs, or one that no network can meet.
    """

    shares_weights = True
    counted = 'paths'  # what costs are of, for a message

    def __init__(
        self,
        space: Space,
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.space = space
        self._budget: Budget | None = None
        if costs is not None:
            self.set_costs(costs, budget)
        elif budget:
            raise ValueError(f'a budget of {dict(budget)} needs costs=dict(input_size=...), too')

    @property
    def budget(self) -> Budget:
        """Bounds that the answer of a search obeys."""
        if self._budget is None:
            raise ValueError(
                f'the supernet does not know what {self.counted} cost; give it '
                'model.backbone.costs=dict(input_size=SIDE)'
            )
        return self._budget

    def set_costs(self, costs: Mapping, budget: Mapping | None = None) -> None:
        """Count networks in another way; arguments as those of the class."""
        self._budget = Budget(build_cost_model(self.space, **costs), **(budget or {}))

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the path that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not a network of the space.
        """
        self.arch = self.space.validate(arch)

    @contextmanager
    def using(self, arch: Arch) -> Iterator[None]:
        """Run another path for a moment, e.g. the teacher's; the old one is restored."""
        before = self.arch
        self.set_arch(arch)
        try:
            yield
        finally:
            self.set_arch(before)

    def path_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that the current path touches, by their name in the supernet."""
        on_path = {id(module) for module in self.path_modules()}
        return {
            f'{prefix}.{name}' if prefix else name: param
            for prefix, module in self.named_modules()
            if id(module) in on_path
            for name, param in module.named_parameters(recurse=False)
        }

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(costs=argument_names(build_cost_model) - {'space'}, budget=set(BUDGET_KEYS))

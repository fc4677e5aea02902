"""The weight-sharing network that holds every cell of NAS-Bench-201."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import MODELS, argument_names
from ...spaces import NASBench201Space
from ...spaces.nas_bench_201 import CONV_3X3, EDGES, KERNELS, NONE, NUM_NODES, OPERATIONS
from ...structures import Arch
from ..backbones.nas_bench_201_net import NASBench201Net
from ..backbones.pretrained import init_backbone
from ..layers.cell_ops import CellFrame, ConvBN, Reduction, build_operation
from .cut_cell import cut_cell
from .router import Router, TableRouter
from .supernet import Supernet

UNCHOSEN = ('none', 'zero')


class Banks(nn.Module):
    """The banks of one cell; a bank has each operation once, for whatever edges it serves."""

    def __init__(self, num_banks: int, channels: int, norm_cfg: dict):
        super().__init__()
        self.banks = nn.ModuleList(
            nn.ModuleList(build_operation(op, channels, norm_cfg) for op in range(len(OPERATIONS)))
            for _ in range(num_banks)
        )


@MODELS.register_module()
class NASBench201Supernet(CellFrame, Supernet):
    """All operations on every edge of every cell; ``forward`` runs the one cell that was set.

    Without a router each edge has weights of its own. With one, edges share banks of weights,
    and the router says which edge of which architecture uses which.

    Edges through which nothing passes from input to output are left out.

    Args:
        space (dict | NASBench201Space, optional): Fields of the space. Defaults to the published.
        router (dict, optional): A :class:`Router`. Defaults to a bank for each edge.
        costs, budget (dict, optional): As those of :class:`Supernet`.
        out_indices (Sequence[int], optional): Which of the three stages' maps to return. Defaults
            to the last.
        norm_cfg (dict, optional): Norm layers. Defaults to ``dict(type='BN')``.
        affine (bool): Whether norms on the edges scale and shift. Defaults to False, as published.
        unchosen (str): Gradients of a bank that is in use, on an edge where the router chose
            another: ``'none'`` (default), or ``'zero'``, with which weight decay and momentum move
            it, as in the released code. The router's own gradient is the same, and a step with
            'none' costs less.
        init_cfg (dict, optional): As everywhere in OpenMMLab. Weights begin as torch's own.

    Attributes:
        arch (Arch): The cell that ``forward`` runs. Set it with :meth:`set_arch`.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), section 3; of its released supernets the vanilla one, and
        with its router the other.
    """

    weights_travel = True

    def __init__(
        self,
        space: Mapping | NASBench201Space | None = None,
        *,
        router: Mapping | None = None,
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        out_indices: Sequence[int] | None = None,
        norm_cfg: dict | None = None,
        affine: bool = False,
        unchosen: str = 'none',
        init_cfg: dict | None = None,
    ):
        if unchosen not in UNCHOSEN:
            raise ValueError(f'unchosen is one of {UNCHOSEN}; got {unchosen!r}')
        Supernet.__init__(self, NASBench201Space.build(space), costs, budget, init_cfg)
        self.affine, self.unchosen = affine, unchosen
        # Weights of a gate are drawn before those that it shares out: so they are the same for
        # any number of banks.
        router = router or dict(type='cream_mm.TableRouter', table=list(range(len(EDGES))))
        self.router: Router = MODELS.build(dict(router))
        if self.router.num_positions != len(EDGES):
            raise ValueError(
                f'a router of {self.router.num_positions} positions; a cell has {len(EDGES)} edges'
            )
        self.build_frame(norm_cfg or dict(type='BN'), out_indices)
        self.set_arch(self.space.decode([CONV_3X3] * len(EDGES)))

    def build_cell(self, channels: int) -> Banks:
        """One cell with all its banks."""
        return Banks(self.router.num_banks, channels, dict(self.norm_cfg, affine=self.affine))

    def init_weights(self) -> None:
        """Torch's own initialisation, then ``init_cfg`` over it."""
        init_backbone(self, lambda module: None, super().init_weights)

    # ---- the path ----------------------------------------------------------------------------

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the cell that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not a cell of the space.
        """
        super().set_arch(arch)
        ops, live = self.space.encode(arch), self.space.live_edges(arch)
        self._edges = [
            (position, *EDGES[position], op)
            for position, op in enumerate(ops)
            if live[position] and op != NONE
        ]

    @property
    def num_active(self) -> int:
        """Banks in use."""
        return self.router.num_active

    def grow(self) -> list[tuple[nn.Module, nn.Module]]:
        """Take one more bank of each cell into use.

        Returns:
            list[tuple[Module, Module]]: (new, old) of each: what begins, and what it may inherit.
        """
        grown = self.router.grow()
        return [
            (cell.banks[new], cell.banks[old])
            for cell in self.cells
            if isinstance(cell, Banks)
            for new, old in grown
        ]

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the current path runs through, once.

        Of banks that are in use but not chosen, these are, in training, the norms alone, whose
        statistics move; with ``unchosen='zero'`` all of it.
        """
        learns = self._learns()
        self._route()  # a training step may draw others than a rating has
        banks = self._banks
        yield from (*self.stem.modules(), *self.lastact.modules())
        if learns:
            yield from self.router.modules()
        for module in self.cells:
            if isinstance(module, Reduction):
                yield from module.modules()
                continue
            found: dict[int, nn.Module] = {}
            for position, _, _, op in self._edges:
                chosen = module.banks[banks[position]][op]
                found.update((id(m), m) for m in chosen.modules())
                if learns and op in KERNELS:
                    whole = self.unchosen == 'zero'
                    for bank in module.banks[: self.num_active]:
                        found.update(
                            (id(m), m)
                            for m in bank[op].modules()
                            if whole or isinstance(m, _BatchNorm)
                        )
            yield from found.values()

    def path_layers(self, arch: Arch) -> None:
        """None: a cell is no chain."""
        return None

    # ---- forward -----------------------------------------------------------------------------

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        self._weights = self._route()
        try:
            return self.run_frame(x)
        finally:
            self._weights = None

    def _route(self) -> Tensor | None:
        """Fix the banks of this forward; the router's weights if it is to learn from it."""
        weights = self.router.weights(self.arch) if self._learns() else None
        if weights is None:
            self._banks = self.router.banks(self.arch)
        else:
            self._banks = tuple(weights.argmax(dim=1).tolist())
        return weights

    def _learns(self) -> bool:
        """Whether this forward teaches the router something: of one bank there is no choice."""
        if not (self.training and self.router.learns):
            return False
        choice = self.num_active > 1 or self.unchosen == 'zero'  # there it decays, as released
        return choice and any(op in KERNELS for *_, op in self._edges)

    def run_cell(self, cell: Banks, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W): the sums that the nodes are, one after the other."""
        nodes: list[Tensor | None] = [x] + [None] * (NUM_NODES - 1)
        for position, source, target, op in self._edges:
            y = self._run_edge(cell, position, op, nodes[source])
            nodes[target] = y if nodes[target] is None else nodes[target] + y
        return x * 0 if nodes[-1] is None else nodes[-1]  # with a graph, as everywhere

    def _run_edge(self, cell: Banks, position: int, op: int, x: Tensor) -> Tensor:
        chosen = self._banks[position]
        if self._weights is None or op not in KERNELS:
            # Without weights of its own an operation is the same in every bank, and the router's
            # entries, whose gradients are then all alike, learn nothing from it.
            return cell.banks[chosen][op](x)
        weights = self._weights[position]  # (num_active,)
        ops: list[ConvBN] = [bank[op] for bank in cell.banks[: len(weights)]]
        if self.unchosen == 'zero':
            return sum(weight * one(x) for weight, one in zip(weights, ops))
        y = ops[chosen](x)
        others = [one for i, one in enumerate(ops) if i != chosen]
        return StraightThrough.apply(y, weights, _run_side_by_side(others, x), chosen)

    # ---- export ------------------------------------------------------------------------------

    def cut(
        self, state_dict: Mapping[str, Tensor], arch: Arch, prefix: str = 'backbone.'
    ) -> dict[str, Tensor]:
        """The weights of a path, out of a checkpoint of this supernet: see :func:`cut_cell`."""
        return cut_cell(state_dict, arch, prefix, self.space, type(self.router))

    def answer_details(self) -> dict:
        """What an export needs to find a path's weights, beside what every answer says."""
        if isinstance(self.router, TableRouter):
            return {}
        return dict(router=f'cream_mm.{type(self.router).__name__}')

    def build_network(self, arch: Arch) -> NASBench201Net:
        """A fixed network of the space, with weights of its own."""
        return NASBench201Net(arch, space=self.space.to_dict())

    def export(self, arch: Arch, **kwargs: Any) -> NASBench201Net:
        """A fixed network of its own with this path's weights.

        Args:
            arch (Arch): The path.
            **kwargs: Further arguments of :class:`NASBench201Net`.
        """
        self.space.validate(arch)
        kwargs = {'out_indices': self.out_indices, 'norm_cfg': self.norm_cfg, **kwargs}
        net = NASBench201Net(arch, space=self.space.to_dict(), **kwargs).to(self.stem[0].weight)
        net.load_state_dict(self.cut(self.state_dict(), arch, prefix=''))
        return net

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        space = argument_names(NASBench201Space) | {'type'}
        return dict(super().nested_arguments(), space=space)


class StraightThrough(torch.autograd.Function):
    """The chosen one of several outputs, and what the choice would learn from all of them.

    In value ``sum_i weights[i] y_i`` with one-hot weights. The gradient of ``weights[i]`` is
    ``<dL/dy, y_i>``; of the outputs the chosen one alone has one, the others' is zero.

    Shapes:
        chosen: (N, C, H, W). weights: (K,). others: (N, (K - 1) C, H, W), without a graph.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, chosen: Tensor, weights: Tensor, others: Tensor, place: int
    ) -> Tensor:
        ctx.save_for_backward(chosen, others)
        ctx.place, ctx.dtype = place, weights.dtype
        return chosen.view_as(chosen)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        chosen, others = ctx.saved_tensors
        gate = None
        if ctx.needs_input_grad[1]:
            own = (grad * chosen).sum(dtype=ctx.dtype).view(1)
            n, c = grad.shape[:2]
            rest = others.view(n, -1, c, *grad.shape[2:]) * grad.unsqueeze(1)
            rest = rest.sum(dim=(0, 2, 3, 4), dtype=ctx.dtype)
            gate = torch.cat([rest[: ctx.place], own, rest[ctx.place :]])
        return grad, gate, None, None


@torch.no_grad()
def _run_side_by_side(ops: Sequence[ConvBN], x: Tensor) -> Tensor:
    """Several convolutions of the same input as one; (N, C, H, W) -> (N, len(ops) * C, H, W)."""
    if not ops:
        return x.new_empty(x.shape[0], 0, *x.shape[2:])
    convs = [op.op[1] for op in ops]
    weight = torch.cat([conv.weight for conv in convs])
    y = F.conv2d(x.relu(), weight, padding=convs[0].padding)
    parts = y.split(convs[0].out_channels, dim=1)
    return torch.cat([op.op[2](part) for op, part in zip(ops, parts)], dim=1)

"""The gate of CLOSE: says which bank of weights stands at which edge of the current cell."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from ...models.supernets.router import Router
from ...registry import MODELS
from ...spaces import NASBench201Space, Space
from ...spaces.nas_bench_201 import EDGES, NONE, NUM_NODES, OPERATIONS
from ...structures import Arch
from ...structures.randomness import named_rng


@MODELS.register_module()
class GATESRouter(Router):
    """A graph encoder and a perceptron: each edge of a cell gets a score for each bank.

    In training the bank of an edge is drawn by Gumbel's trick, one-hot in value and with the
    gradient of the softmax; its noise and its dropout are functions of (seed, step), so that all
    ranks, and a run that was resumed, route alike. In evaluation it is the one with the highest
    score. In float32 at least, under AMP too.

    Args:
        space (dict | NASBench201Space, optional): Of the cells. Defaults to the published one.
        num_banks (int): Defaults to 5.
        op_dim, node_dim, hidden_dim (int): Size of what stands for an operation, for a node, and of
            a node's state before the first layer of the encoder. Default to 48, 48 and 96.
        gcn_dims (Sequence[int]): Of a node's state after each layer. Defaults to five of 128.
        mlp_dims (Sequence[int]): Hidden layers of the perceptron. Defaults to three of 200.
        dropout (float): Behind each of these. Defaults to 0.1.
        temperature (float): Of the softmax. Defaults to 5.
        noise (bool): Whether banks are drawn in training; else the highest score wins there, too.
            Defaults to True.
        gumbel_eval (bool): Draw them in evaluation as well, as the released code does: a function
            of ``eval_seed`` and the architecture. A network that is cut out of a checkpoint has
            the banks of the highest scores all the same. Defaults to False.
        eval_seed (int): Defaults to 0.
        active (int): Banks in use at the start. Defaults to 1.

    Attributes:
        step (tuple[int, int] | None): (seed, step) that the draws of training are of; the
            :class:`CurriculumHook` sets it.

    Raises:
        ValueError: If a number is out of range, or the space is of another kind.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), section 3.3, node-level gate; the encoder is that of GATES
        (Ning et al., ECCV 2020).
    """

    learns = True

    def __init__(
        self,
        space: Mapping | NASBench201Space | None = None,
        num_banks: int = 5,
        *,
        op_dim: int = 48,
        node_dim: int = 48,
        hidden_dim: int = 96,
        gcn_dims: Sequence[int] = (128,) * 5,
        mlp_dims: Sequence[int] = (200,) * 3,
        dropout: float = 0.1,
        temperature: float = 5.0,
        noise: bool = True,
        gumbel_eval: bool = False,
        eval_seed: int = 0,
        active: int = 1,
        init_cfg: dict | None = None,
    ):
        if not 1 <= active <= num_banks:
            raise ValueError(f'{active} of {num_banks} banks cannot be in use; active is 1 or more')
        if not temperature > 0 or not 0 <= dropout < 1:
            raise ValueError(
                f'temperature is above 0, and 0 <= dropout < 1; got {temperature} and {dropout}'
            )
        super().__init__(len(EDGES), num_banks, init_cfg)
        self.space = NASBench201Space.build(space)
        self.dropout, self.temperature = dropout, temperature
        self.noise, self.gumbel_eval, self.eval_seed = noise, gumbel_eval, eval_seed
        self.step: tuple[int, int] | None = None
        self.embedder = GATESEncoder(op_dim, node_dim, hidden_dim, gcn_dims)
        self.mlp = nn.ModuleList()
        size = 2 * gcn_dims[-1]
        for width in mlp_dims:
            self.mlp.append(nn.Sequential(nn.Linear(size, width), nn.ReLU()))
            size = width
        self.mlp.append(nn.Linear(size, num_banks))
        self.register_buffer('active', torch.tensor(active))

    @property
    def num_active(self) -> int:
        """Banks in use, K: a buffer, so that a checkpoint holds it."""
        return int(self.active)

    # ---- routing -----------------------------------------------------------------------------

    def logits(self, arch: Arch) -> Tensor:
        """Scores of all banks, in use or not, without noise and dropout: (edges, num_banks)."""
        return self._scores(arch, None)

    def banks(self, arch: Arch) -> tuple[int, ...]:
        """The bank of each edge: the highest score, or a draw that is a function of ``arch``."""
        with torch.no_grad():
            scores = self.logits(arch)[:, : self.num_active]
            if self.gumbel_eval:
                which = zlib.crc32(self.space.format(arch).encode())
                scores = scores + _gumbel('gumbel at rating', (self.eval_seed, which), scores)
            return tuple(scores.argmax(dim=1).tolist())

    def weights(self, arch: Arch) -> Tensor:
        """What a step of the training learns by: (edges, banks in use), one-hot up to rounding."""
        if self.step is None and (self.noise or self.dropout):
            raise ValueError(
                'the draws of a gate are functions of (seed, step), and nobody told it the step: '
                'add dict(type="cream_mm.CurriculumHook") to custom_hooks; its schedule may be (1,)'
            )
        scores = self._scores(arch, self.step if self.dropout else None)[:, : self.num_active]
        if self.noise:
            scores = scores + _gumbel('gumbel', self.step, scores)
        soft = (scores / self.temperature).softmax(dim=1)
        hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft)
        return hard - soft.detach() + soft

    def _scores(self, arch: Arch, dropped_at: tuple[int, int] | None) -> Tensor:
        with torch.autocast(self.active.device.type, enabled=False):
            nodes = self.embedder(self.space.encode(arch))
            sources, targets = zip(*EDGES)
            x = torch.cat([nodes[list(sources)], nodes[list(targets)]], dim=1)
            rng = named_rng('gate dropout', *dropped_at) if dropped_at else None
            for layer in self.mlp[:-1]:
                x = layer(x)
                if rng is not None:
                    kept = torch.from_numpy(rng.random(tuple(x.shape)) >= self.dropout)
                    x = x * kept.to(x) / (1 - self.dropout)
            return self.mlp[-1](x)

    # ---- one more bank -----------------------------------------------------------------------

    def grow(self) -> list[tuple[int, int]]:
        """One more bank, after the one that was the last in use.

        Raises:
            ValueError: If all are in use.
        """
        active = self.num_active
        if active == self.num_banks:
            return super().grow()  # raises
        self.active += 1
        return [(active, active - 1)]

    @torch.no_grad()
    def inherit(self) -> list[tuple[Parameter, int]]:
        """Add to the scores' row of the newest bank that of the one before.

        Returns:
            list[tuple[Parameter, int]]: What was changed: parameters, and the row of each.
        """
        new = self.num_active - 1
        changed = [self.mlp[-1].weight, self.mlp[-1].bias]
        for param in changed:
            param[new] += param[new - 1]
        return [(param, new) for param in changed]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        active = state_dict.get(f'{prefix}active', self.active)
        if active.numel() != 1 or not 1 <= int(active) <= self.num_banks:
            raise ValueError(
                f'these weights have {active.tolist()} banks in use; the router has '
                f'{self.num_banks}'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    # ---- from a checkpoint -------------------------------------------------------------------

    @classmethod
    def banks_from(
        cls, state_dict: Mapping[str, Tensor], arch: Arch, space: Space, prefix: str = 'router.'
    ) -> tuple[int, ...]:
        """The bank of each edge, by the highest score, out of a checkpoint's tensors alone.

        Raises:
            KeyError: If ``state_dict`` holds no gate at ``prefix``.
        """
        own = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
        hidden = own['embedder.x_hidden.weight']
        gcn_dims = [weight.shape[1] for weight in _numbered(own, 'embedder.gcns.{}.weight')]
        mlp_dims = [weight.shape[0] for weight in _numbered(own, 'mlp.{}.0.weight')]
        router = cls(
            space,
            num_banks=len(own[f'mlp.{len(mlp_dims)}.weight']),
            op_dim=own['embedder.op_emb.weight'].shape[1],
            node_dim=hidden.shape[1],
            hidden_dim=hidden.shape[0],
            gcn_dims=gcn_dims,
            mlp_dims=mlp_dims,
        ).to(hidden)
        router.load_state_dict(own)
        return router.banks(arch)


class GATESEncoder(nn.Module):
    """States of a cell's nodes: information flows along its edges, through the operations.

    Shapes:
        input: a cell, one operation per edge. output: (nodes, gcn_dims[-1]).
    """

    def __init__(self, op_dim: int, node_dim: int, hidden_dim: int, gcn_dims: Sequence[int]):
        super().__init__()
        self.register_buffer('other_node_emb', torch.zeros(1, node_dim))  # of all but the input
        self.input_node_emb = nn.Embedding(1, node_dim)
        self.op_emb = nn.Embedding(len(OPERATIONS), op_dim)
        self.x_hidden = nn.Linear(node_dim, hidden_dim)
        sizes = [hidden_dim, *gcn_dims]
        self.gcns = nn.ModuleList(
            InformationFlow(*pair, op_dim) for pair in zip(sizes[:-1], sizes[1:])
        )

    def forward(self, ops: Sequence[int]) -> Tensor:
        others = self.other_node_emb.expand(NUM_NODES - 1, -1)
        x = self.x_hidden(torch.cat([self.input_node_emb.weight, others]))
        table = [[NONE] * NUM_NODES for _ in range(NUM_NODES)]
        for (source, target), op in zip(EDGES, ops):
            table[target][source] = op
        edges = torch.tensor(table, device=x.device)
        for i, layer in enumerate(self.gcns):
            x = layer(x if i == 0 else x.relu(), edges, self.op_emb.weight)
        return x


class InformationFlow(nn.Module):
    """A node's new state is the sum of what comes in over its edges, gated by their operations.

    The input node keeps its own.

    Shapes:
        states: (nodes, in_dim) -> (nodes, out_dim). edges: (nodes, nodes), of each [to, from] its
        operation. op_emb: (operations, op_dim).
    """

    def __init__(self, in_dim: int, out_dim: int, op_dim: int):
        super().__init__()
        self.weight = Parameter(torch.empty(in_dim, out_dim).uniform_(-1, 1) / out_dim**0.5)
        self.op_attention = nn.Linear(op_dim, out_dim)

    def forward(self, x: Tensor, edges: Tensor, op_emb: Tensor) -> Tensor:
        x = x @ self.weight
        gates = self.op_attention(op_emb).sigmoid()[edges] * (edges != NONE).unsqueeze(-1)
        incoming = (gates * x).sum(dim=1)
        return torch.cat([x[:1] + incoming[:1], incoming[1:]])


def _gumbel(name: str, of: tuple[int, int], like: Tensor) -> Tensor:
    """Noise whose argmax with scores is a draw from their softmax; a function of (name, of)."""
    return torch.from_numpy(named_rng(name, *of).gumbel(size=tuple(like.shape))).to(like)


def _numbered(own: Mapping[str, Tensor], pattern: str) -> list[Tensor]:
    """The entries 0, 1, ... of a name."""
    return [own[pattern.format(i)] for i in takewhile(lambda i: pattern.format(i) in own, count())]

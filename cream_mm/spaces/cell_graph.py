"""The graph of a cell, as a space tells it to whoever draws it."""

from typing import NamedTuple


class CellEdge(NamedTuple):
    """An operation between two nodes, by their places in :attr:`CellGraph.nodes`."""

    start: int
    end: int  # comes after ``start``
    op: str  # in a word or two, for people
    kind: str = 'conv'  # 'conv', 'pool', 'skip' (the same again) or 'none' (zeros)
    kernel: int | None = None
    stride: int = 1


class CellGraph(NamedTuple):
    """One cell: each node is the sum of the edges that enter it."""

    title: str
    nodes: tuple[str, ...]  # names, the inputs first
    num_inputs: int
    edges: tuple[CellEdge, ...]
    output: tuple[int, ...] = ()  # the nodes that are concatenated; none: the last is the output

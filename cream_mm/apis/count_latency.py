"""How long one network takes, by a table of times: whole and layer by layer."""

from typing import NamedTuple

from ..costs import CostTable, build_cost_model
from ..costs.latency import machine_words, no_such_table, pick_table
from ..files.latency_file import read_latency, space_differences
from ..models.backbones.resolve_arch import resolve_arch
from ..structures import Arch


class NetworkTime(NamedTuple):
    """What a table says of a network.

    Attributes:
        ms (float): Of one batch.
        layers (list[tuple[str, str, float]]): Name, what it is, and milliseconds, of what the
            network has chosen; first what every network of the space has together. Of cells,
            whose times are those of an edge in all of them, there are none.
        about (str): What was measured, and where.
        doubts (list[str]): What is to be said of the table.
    """

    ms: float
    layers: list[tuple[str, str, float]]
    about: str
    doubts: list[str]


def count_latency(
    arch: str, path: str, input_size: tuple[int, int], num_classes: int, batch: int = 1
) -> NetworkTime:
    """The time of a network as a classifier.

    Args:
        arch (str): As :func:`resolve_arch` takes it.
        path (str): A table, see :func:`read_latency`.
        input_size (tuple[int, int]): Image height and width in pixels.
        num_classes (int): Of the classifier.
        batch (int): Images at once.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is not of such networks, or lacks layers.
    """
    network, space, about = resolve_arch(arch)
    file = read_latency(path)
    asked = file.tables, input_size, 'classifier', batch, 'float32'
    table = pick_table(*asked)
    if table is None:
        raise ValueError(f'{path} has {no_such_table(*asked)}')
    if file.space is not None and table.rows is None:
        # That of the search, whose stages may be deeper than the network's.
        if differ := space_differences(file, space, but=('depths',)):
            raise ValueError(f'{path} is of another space: {"; ".join(differ)}')
        space = file.space
    head_channels = about.get('head_channels')
    try:
        costs = build_cost_model(
            space, input_size, num_classes, head_channels, latency=table.for_costs()
        )
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    whole = costs.cost(network)
    if whole.latency_ms is None:
        raise ValueError(f'{arch} has deeper stages than the networks of {path}, which are timed')
    told = table.told() + (f', on {machine_words(file.machine)}' if file.machine else '')
    return NetworkTime(whole.latency_ms, _layers(costs, network), told, table.doubts())


def _layers(costs: CostTable, network: Arch) -> list[tuple[str, str, float]]:
    rows = [row for row in costs.layer_table(network) if row.get('latency_ms') is not None]
    found = [('(fixed)', 'stem, head and what else all networks have', costs.fixed.latency_ms)]
    for row in rows:
        size = 'x'.join(map(str, row['out_size']))
        words = f'{row["op"]} {row["in_channels"]} -> {row["out_channels"]}, {size}'
        if row.get('kernel'):
            words += f', k{row["kernel"]}' + (f' e{row["expand"]}' if row.get('expand') else '')
        found.append((row['name'], words, row['latency_ms']))
    return found if rows else []

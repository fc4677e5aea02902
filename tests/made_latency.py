"""Made-up times: a function of what a layer is, for rows, tables and sums by hand."""

import itertools

from cream_mm.costs import build_cost_model

OPS = {'conv3x3': 'stem', 'DSConv': 'dsconv', 'MBConv': 'mbconv'}


def made_ms(layer):
    """Milliseconds of a row of ``layer_table``: odd enough that no two kinds are alike."""
    if layer['op'] == 'identity':
        return 0.0
    size = layer['in_size'][0]
    kernel, expand = layer.get('kernel') or 0, layer.get('expand') or 0
    channels = layer['in_channels'] + 0.37 * layer['out_channels']
    return round(1e-3 * (1 + channels * (kernel + 1.3 * expand + 1)) * (1 + size / 16), 6)


def with_sizes(rows, input_size):
    """Rows of ``layer_table`` with the size of the map that goes in."""
    size, found = input_size, []
    for row in rows:
        is_hidden = row['name'] == 'conv_head'
        is_pooled = row['name'] == 'classifier' or is_hidden and list(row['out_size']) == [1, 1]
        found.append(dict(row, in_size=[1, 1] if is_pooled else list(size)))
        size = row['out_size']
    return found


def made_rows(space, input_size, num_classes=10, head_channels=None, head='classifier'):
    """A row for each layer of a space of one or of several networks, as files have them."""
    spaces = [space]
    if hasattr(space, 'network_space'):
        cells = itertools.product(*(range(len(block)) for block in space.cells))
        spaces = [space.network_space(list(chosen)) for chosen in cells]
    found = {}
    for one in spaces:
        costs = build_cost_model(one, input_size, num_classes, head_channels, head=head)
        for choice in range(len(one.choices)):
            arch = one.decode([choice] * one.num_layers)
            for row in with_sizes(costs.layer_table(arch), costs.input_size):
                keys = ('kernel', 'expand', 'in_channels', 'out_channels', 'stride', 'in_size')
                kept = {key: row[key] for key in keys if row[key] is not None}
                line = dict(op=OPS.get(row['op'], row['op']), **kept)
                if row['op'] != 'identity':
                    found[str(line)] = dict(line, latency_ms=made_ms(row))
    return list(found.values())


def by_hand(space, arch, input_size, num_classes=10, head_channels=None, head='classifier'):
    """The sum over the layers of one network, and nothing of the package's join or tables."""
    costs = build_cost_model(space, input_size, num_classes, head_channels, head=head)
    return sum(made_ms(row) for row in with_sizes(costs.layer_table(arch), costs.input_size))


def made_table(space, fixed=0.5):
    """``fixed_ms`` and ``choices_ms`` of a space whose times are its positions' own."""
    whole = space.decode([0] * len(space.sizes))
    position, choices = itertools.count(), []
    for depth in whole.depths:
        choices.append([])
        for _ in range(depth):
            p = next(position)
            size = space.sizes[p]
            choices[-1].append(
                [round(0.1 + 0.07 * p + 0.31 * c * (1 + p % 3), 6) for c in range(size)]
            )
    return dict(fixed_ms=fixed, choices_ms=choices)

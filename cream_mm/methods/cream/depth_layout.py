"""From a FLOPs range to the depths of a supernet, as the released code decides it."""

from dataclasses import replace
from typing import NamedTuple

from ...costs.mbconv import mbconv_costs
from ...spaces import MBConvSpace

# (stage index, layers it may reach), in the order in which the released rule adds layers.
_GROWTH = [(2, 3), (3, 3), (4, 3), (1, 2), (0, 2), (2, 4), (3, 4), (4, 4), (1, 4), (0, 4)]
_FULL_SIZE = 7  # the input is 32 * 7 = 224 pixels, or a smaller multiple of 32


class DepthLayout(NamedTuple):
    """A supernet's layers per stage and its input size, and why."""

    depths: tuple[int, ...]
    input_size: int  # pixels
    reasons: list[str]  # one sentence per decision


def depth_layout(low_m: float, high_m: float) -> DepthLayout:
    """The released code's choice for a FLOPs range of Cream's space.

    It weighs networks by ``board_flops`` at 224 pixels, without stem, first block and head. If
    even the smallest network with one layer per stage is above the range, the input shrinks.
    Otherwise layers are added, first to reach the range's lower end, then as long as the network
    with the largest op everywhere stays below its upper end.

    Args:
        low_m (float): Lower end, in millions.
        high_m (float): Upper end, in millions.

    Raises:
        ValueError: If the range is empty, or the rule finds nothing for it.

    Reference:
        Cream, released code. It uses the depths, but only prints the size. Differs: nothing; see
        the reasons for where the rule is rough.
    """
    if not 0 <= low_m <= high_m or high_m == 0:
        raise ValueError(f'a FLOPs range is 0 <= low <= high, in millions; got {low_m}, {high_m}')
    first, later = _table(MBConvSpace())
    smallest, largest = sum(row[0] for row in first), sum(row[-1] for row in first)
    depths, size = [1] * len(first), _FULL_SIZE
    reasons = [
        f'With one layer per stage at 224 pixels, the searchable layers cost {smallest:.1f} M '
        f'(smallest op everywhere) to {largest:.1f} M (largest op everywhere).'
    ]

    low, high = low_m, high_m
    if smallest > high:
        while smallest > high and size >= 2:
            size -= 1
            low, high = low * _FULL_SIZE / size, high * _FULL_SIZE / size
        if size < 2:
            raise ValueError(
                f'no input size fits {high_m} M: even at 64 pixels the rule finds the smallest '
                'network too large. Raise the upper end'
            )
        reasons.append(
            f'That is above the upper end, {high_m:g} M, so the input shrinks to {32 * size} '
            f'pixels, where the rule counts the range as {low:.1f} to {high:.1f} M of 224 pixels. '
            '(Each step multiplies it anew, and linearly, though cost falls with the square.)'
        )
    elif largest < low:
        before = tuple(depths)
        for stage, limit in _GROWTH:
            while largest < low and depths[stage] < limit:
                largest += later[stage][-1]
                depths[stage] += 1
        if largest < low:
            raise ValueError(
                f'no depth fits {low_m:g} to {high_m:g} M: four layers in every stage with the '
                f'largest op cost {largest:.1f} M. Lower the lower end'
            )
        reasons.append(
            f'The largest is below the lower end, {low_m:g} M, so layers are added until it is '
            f'not: {_growth(before, depths)}, which makes {largest:.1f} M.'
        )

    before, stopped = tuple(depths), None
    for stage, limit in _GROWTH:
        while stopped is None and depths[stage] < limit:
            if largest + later[stage][-1] > high:
                stopped = stage
            else:
                largest += later[stage][-1]
                depths[stage] += 1
    if tuple(depths) != before:
        reasons.append(
            'Layers are added, in the order of stages 3, 4, 5, 2, 1, as long as the largest op '
            f'everywhere stays below {high:.4g} M: {_growth(before, depths)}, which makes '
            f'{largest:.1f} M.'
        )
    if stopped is not None:
        reasons.append(
            f'One more layer in stage {stopped + 1} would make '
            f'{largest + later[stopped][-1]:.1f} M, above {high:.4g} M: the rule stops there.'
        )
    else:
        reasons.append('Every stage has reached four layers, the most that the rule gives.')
    return DepthLayout(tuple(depths), 32 * size, reasons)


def _table(space: MBConvSpace) -> tuple[list[list[float]], list[list[float]]]:
    """Board FLOPs in millions of every choice, per stage: as first layer, as later layer."""
    model = mbconv_costs(replace(space, depths=(2,) * space.num_stages), 224)
    rows = [
        [[cost.board_flops / 1e6 for cost in model.choice_costs(2 * stage + layer)]
         for stage in range(space.num_stages)]
        for layer in (0, 1)
    ]  # fmt: skip
    return rows[0], rows[1]


def _growth(before, after) -> str:
    steps = [
        f'stage {stage} from {old} to {new}'
        for stage, (old, new) in enumerate(zip(before, after), start=1)
        if new != old
    ]
    return ', '.join(steps)

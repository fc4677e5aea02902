import pytest

from cream_mm.costs import Cost
from cream_mm.costs import mbconv as macs
from cream_mm.spaces import MBConvSpace

# Board convention in MFLOPs at 224 x 224: first layer of the stage, any later one.
RELEASED_TABLE = [
    # S1 first / later, S2, S3, S4, S5
    '21.828704 18.820752  11.808656 11.86712   8.198     10.99632  12.006112 15.61632   11.307456 15.292416',  # noqa: E501
    '32.669328 28.16048   17.68624  17.780848  12.292848 16.5172   18.028752 23.46096   17.007072 23.1504',  # noqa: E501
    '25.039968 23.637648  13.01288  13.87416   8.69976   11.99984  13.009632 16.820544  11.608512 15.894528',  # noqa: E501
    '37.486224 35.385824  19.492576 20.791408  13.045488 18.02248  19.534032 25.267296  17.458656 24.053568',  # noqa: E501
    '29.856864 30.862992  14.819216 16.88472   9.4524    13.50512  14.514912 18.62688   12.060096 16.797696',  # noqa: E501
    '44.711568 46.22384   22.20208  25.307248  14.174448 20.2804   21.791952 27.9768    18.136032 25.40832',  # noqa: E501
]  # fmt: skip
OUT_SIDES = (56, 28, 14, 14, 7)


def flops(text):
    """'8.198' million as an integer, without a float on the way."""
    whole, decimals = text.split('.')
    return int(whole + decimals.ljust(6, '0'))


def table_entries():
    for choice, line in enumerate(RELEASED_TABLE):
        numbers = line.split()
        assert len(numbers) == 10
        for column, number in enumerate(numbers):
            yield choice, column // 2 + 1, column % 2, flops(number)


@pytest.mark.parametrize(('choice', 'stage', 'later', 'expected'), list(table_entries()))
def test_released_table(choice, stage, later, expected):
    space = MBConvSpace()
    spec = list(space.layers((2,) * 5))[2 * (stage - 1) + later]
    kernel, expand = space.choices[choice]
    side = OUT_SIDES[stage - 1]
    cost = macs.mbconv(
        spec.in_channels, spec.out_channels, kernel, expand, (side * spec.stride) ** 2, side**2
    )
    assert cost.board_flops == expected


def test_fixed_parts_of_the_board_convention():
    stem = macs.conv_bn(3, 16, 3, 112 * 112, board_counts_bn=False)
    assert stem.board_flops == stem.macs == 5_419_008
    assert stem.published_flops == 5_419_008 + 2 * 16 * 112 * 112
    assert macs.ds_block(16, 112 * 112).board_flops == 6_021_408
    assert macs.conv_bn(192, 320, 1, 49).board_flops == 3_041_920
    assert macs.pooled_head(320, 1280, 49).board_flops == 15_680 + 410_880
    assert macs.classifier(1280, 1000).board_flops == 0


def test_conventions_of_one_block_written_out():
    # 16 -> 24, kernel 3, expansion 4, 112 -> 56: mid 64, squeezed to 16
    cost = macs.mbconv(16, 24, 3, 4, 112 * 112, 56 * 56)
    convs = 16 * 64 * 112**2 + 9 * 64 * 56**2 + 64 * 24 * 56**2 + 2 * 64 * 16
    norms = 2 * (64 * 112**2 + 64 * 56**2 + 24 * 56**2)
    pool = 64 * 56**2
    weights = 16 * 64 + 9 * 64 + 64 * 24 + 2 * 64 * 16
    assert cost == Cost(
        macs=convs,
        params=weights + (16 + 64) + 2 * (64 + 64 + 24),
        board_flops=convs + norms + pool + (16 + 64) + 16,
        published_flops=convs + norms + pool,
    )


def test_counters_of_the_papers_differ_in_the_gate():
    mine, theirs = (macs.mbconv(16, 24, 3, 6, 64, 16, 'silu', 'efficientnet', paper)
                    for paper in ('cream', 'dna'))  # fmt: skip
    assert mine[:3] == theirs[:3]
    mid, reduced, pool = 96, 4, 96 * 16
    assert mine.published_flops - pool == theirs.published_flops - (reduced + mid)
    head = [macs.pooled_head(320, 1280, 49, paper).published_flops for paper in ('cream', 'dna')]
    assert head[1] - head[0] == 1280


def test_relu6_is_counted_as_relu():
    one, other = (macs.mbconv(16, 24, 3, 6, 64, 16, act, 'none') for act in ('relu', 'relu6'))
    assert one == other != macs.mbconv(16, 24, 3, 6, 64, 16, 'silu', 'none')


def test_conventions_of_the_head_written_out():
    assert macs.pooled_head(320, 1280, 49) == Cost(
        409_600, 410_880, 409_600 + 1280 + 15_680, 409_600 + 15_680
    )
    assert macs.classifier(1280, 1000) == Cost(1_280_000, 1_281_000, 0, 1_280_000)


def test_squeeze_width_is_rounded_from_the_expanded_channels():
    assert macs.squeeze_excite(144, 1).macs == 2 * 144 * 40  # not 36
    assert macs.squeeze_excite(240, 1).macs == 2 * 240 * 64  # not 60


def test_costs_add_up_component_by_component():
    total = Cost(1, 2, 3, 4) + Cost(10, 20, 30, 40)
    assert total == Cost(11, 22, 33, 44) and isinstance(total, Cost)
    assert sum([total, total], Cost()) == Cost(22, 44, 66, 88)
    assert Cost(1_500_000, 2, 3_000_000, 1).in_units() == {
        'macs_m': 1.5, 'params_m': 2e-6, 'board_flops_m': 3.0, 'published_flops_m': 1e-6,
    }  # fmt: skip

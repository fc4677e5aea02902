"""Numbers as people read them."""

import pytest

from cream_mm.reports import formats


@pytest.mark.parametrize(
    'value, text',
    [(None, '–'), (0.0, '0.000'), (0.3034, '0.303'), (2.827, '2.83'), (287.04, '287.0')],
)
def test_costs(value, text):
    assert formats.format_cost(value) == text


@pytest.mark.parametrize(
    'limits, text, verdict',
    [
        ((5, 20), '5 to 20', 'inside the budget of 5 to 20 M'),
        ((None, 9.5), 'up to 9.5', 'outside the budget of up to 9.5 M'),
        ((10, None), 'from 10', 'inside the budget of from 10 M'),
        ((None, None), 'any', 'no budget was set'),
    ],
)
def test_ranges(limits, text, verdict):
    assert formats.format_range(limits) == text
    assert formats.budget_verdict(10.0, limits) == verdict


@pytest.mark.parametrize(
    'value, other, text',
    [(9.0, 10.0, '−10.0 %'), (-3.0, -4.0, '+25.0 %'), (None, 1, '–'), (1, None, '–'), (1, 0, '–')],
)
def test_differences(value, other, text):
    assert formats.format_difference(value, other) == text


def test_words():
    assert formats.format_arch([[0], [1, 3], [0]]) == '0 | 1 3 | 0'
    assert formats.format_size([14, 7]) == '14×7' and formats.format_size(None) == ''
    assert formats.format_pct(96.25) == '96.2 %' and formats.format_pct(None) == '–'
    assert [formats.format_plain(v) for v in (None, '', 0, 'a')] == ['–', '–', '0', 'a']
    assert formats.cost_name('macs_m') == 'MACs (M)' and formats.cost_name('other') == 'other'
    assert formats.cost_name('latency_ms') == 'latency (ms)'
    assert (
        formats.unbroken('5 M, 97.0 % top-1 or 3 of 4') == '5\xa0M, 97.0\xa0% top\u20111 or 3 of 4'
    )


@pytest.mark.parametrize(
    'pct, num_images, low, high',
    # Centre (p + z^2 / 2n) / (1 + z^2 / n); none right of 10: 0 to z^2 / (10 + z^2).
    [(50.0, 100, 40.38, 59.62), (0.0, 10, 0.0, 27.75), (100.0, 10, 72.25, 100.0)],
)
def test_wilson_interval(pct, num_images, low, high):
    assert formats.wilson_interval(pct, num_images) == pytest.approx((low, high), abs=0.005)

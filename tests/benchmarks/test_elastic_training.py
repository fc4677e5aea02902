import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def bench():
    return runpy.run_path(str(ROOT / 'benchmarks/elastic_training.py'))


def test_the_error_is_that_of_the_images(bench):
    """Two paths, four images: per image -0.1 - 0.3, 0, 0.2 and 0.1 + 0.1 over two paths."""
    one = [dict(losses=[0.9, 1.0, 1.2, 1.1]), dict(losses=[0.7, 1.0, 1.2, 1.1])]
    other = [dict(losses=[1.0] * 4), dict(losses=[1.0] * 4)]
    middle, error = bench['difference'](one, other)
    images = [-0.2, 0.0, 0.2, 0.1]
    assert middle == pytest.approx(0.025)
    spread = sum((x - 0.025) ** 2 for x in images) / 3
    assert error == pytest.approx((spread / 4) ** 0.5)


def test_the_page_has_a_row_for_each_way(bench):
    def path(band, loss):
        return dict(band=band, loss=loss, top1_pct=80.0, losses=[loss - 0.1, loss + 0.1])

    def record(loss):
        return dict(epochs=2, steps=78, cpu_seconds=60.0, stopped=False,
                    paths=[path([0.45, 0.55], loss), path([0.6, 0.7], loss - 0.2)])  # fmt: skip

    full = dict(epochs=2, input_size=96, cpu_seconds=50.0, top1_pct=85.0, loss=0.5, num_images=2)
    page = bench['page_of'](dict(full=full, random=record(0.9), sandwich=record(1.0)))
    assert '| one random path a step | 2.0 | 78 | 60 | 0.900 / 80.0 % | 0.700 / 80.0 % |' in page
    assert (
        '* sandwich: full, cheapest, one random: +0.100 nats, +0.100 to +0.100: random paths'
        in page
    )
    assert bench['verdict'](0.1, 0.06) == 'undecided'

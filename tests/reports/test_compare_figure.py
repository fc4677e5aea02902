"""The picture of a comparison has a point for each network that has a cost."""

import pytest

from cream_mm.reports.compare_figure import draw_comparison


def row(name, macs_m, top1):
    return dict(name=name, kind=name.rpartition('-')[0] or name, macs_m=macs_m, top1=top1)


def test_points_and_names(tmp_path):
    rows = [
        row('full', 125.4, 88.5),
        row('found-50', 62.0, 87.0),
        row('linear-probe', None, 87.1),
    ]
    rows[0]['num_images'] = 80
    figure = draw_comparison(rows, tmp_path / 'a.png', 'too good')
    (axes,) = figure.axes
    assert axes.get_title(loc='left').endswith('\ntoo good') and 'val/' not in axes.get_ylabel()
    (bar,) = axes.lines  # Wilson's interval, by hand
    assert list(bar.get_ydata()) == pytest.approx([79.68, 93.79], abs=0.01)
    points = [tuple(points.get_offsets()[0]) for points in axes.collections]
    assert points == [(125.4, 88.5), (62.0, 87.0)]
    assert [text.get_text() for text in axes.texts] == ['full', 'found-50']
    assert (tmp_path / 'a.png').read_bytes()[1:4] == b'PNG'


def test_one_network_is_no_picture(tmp_path):
    assert draw_comparison([row('full', 125.4, 88.5)], tmp_path / 'a.png') is None
    assert not (tmp_path / 'a.png').exists()

"""The table of what a detector's parts cost."""

import json

import pytest
from made_run import best_arch, board, detector_dir, search_dir, sections  # noqa: F401

from cream_mm.reports.detector_parts import read_parts
from cream_mm.reports.search_report import SearchReport

MACS = dict(backbone=557.84, neck=75.42, heads=101.61, whole=734.87)
MS = dict(backbone=25.28, neck=None, heads=None, whole=34.02)


@pytest.fixture
def content():
    return dict(
        format='cream_mm.part_costs/1',
        detector='RTMDet',
        input_size=[320, 320],
        num_params=4887484,
        arch=None,
        parts={n: dict(macs_m=MACS[n], params_m=i + 0.5, ms=MS[n]) for i, n in enumerate(MACS)},
        machine=dict(processor='<b>A chip', device='cpu', backend='torch', threads=2),
    )


def test_the_table_of_the_page(search_dir, detector_dir, content):  # noqa: F811
    (detector_dir / 'part_costs.json').write_text(json.dumps(content))
    html = SearchReport(search_dir, detector_dir=detector_dir).to_html()
    section = html[html.index('id="parts"') :].split('</section>')[0]
    rows = [row.split('</td>') for row in section.split('<tr>')[2:]]
    cells = [[cell.rpartition('>')[2].strip() for cell in row[:-1]] for row in rows]
    assert cells == [
        ['backbone', '557.8', '75.9 %', '0.500', '25.28'],  # 557.84 of 734.87
        ['neck', '75.42', '10.3 %', '1.50', '–'],
        ['heads', '101.6', '13.8 %', '2.50', '–'],
        ['whole', '734.9', '100.0 %', '3.50', '34.02'],
    ]
    assert 'One image of 320 x 320, with RTMDet; times are medians' in section
    assert '&lt;b&gt;A chip, PyTorch, 2 threads.' in section and '<b>A' not in section


def test_without_the_file(search_dir, detector_dir):  # noqa: F811
    assert read_parts(detector_dir) is None
    assert 'id="parts"' not in SearchReport(search_dir, detector_dir=detector_dir).to_html()


@pytest.mark.parametrize(
    'change',
    [
        dict(format='other'),
        dict(parts=None),
        dict(parts={}),
        dict(input_size=[1]),
        dict(machine={}),
        dict(parts={n: dict(macs_m=-1, params_m=1) for n in MACS}),
        dict(parts={n: dict(macs_m=1e99, params_m=1) for n in MACS}),
        dict(parts={n: dict(macs_m='1', params_m=1) for n in MACS}),
    ],
)
def test_a_damaged_file_is_named(detector_dir, content, change):  # noqa: F811
    path = detector_dir / 'part_costs.json'
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=str(path)):
        read_parts(detector_dir)


def test_one_thread_is_one(detector_dir, content):  # noqa: F811
    content['machine']['threads'] = 1
    (detector_dir / 'part_costs.json').write_text(json.dumps(content))
    assert read_parts(detector_dir).about.endswith('A chip, PyTorch, 1 thread.')

"""The page of a classifier's errors, alone and inside that of its search."""

import json
import re

import pytest
from made_run import best_arch, board, search_dir  # noqa: F401
from PIL import Image

from cream_mm.reports import ErrorReport, SearchReport


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'retrain'
    folder.mkdir()
    Image.new('RGB', (40, 40), 'red').save(folder / 'x.jpg')
    content = dict(
        format='cream_mm.errors/1', images='8 images of insects', weights='of epoch 2',
        classes=['ant', '<b>bee'], num_images=8, counts=[[0, 0, 5], [0, 1, 1], [1, 1, 2]],
        wrong=[dict(path=str(folder / 'x.jpg'), label=0, predicted=1, score=0.75)],
    )  # fmt: skip
    (folder / 'errors.json').write_text(json.dumps(content))
    return folder


def check(section):
    cells = re.findall(r'<td style="background: rgba\((\d+),[^"]*" title="([^"]*)">(\d+)', section)
    assert cells == [('31', '83.3 %', '5'), ('192', '16.7 %', '1'), ('31', '100.0 %', '2')]
    assert '7 of 8 are right,\n87.5 %' in section and 'is 91.7 %' in section
    assert 'ant taken for &lt;b&gt;bee, 1 of 6.' in section
    assert '<b>ant</b>, taken for <b>&lt;b&gt;bee</b> (75 %)' in section
    assert section.count('<img src="data:image/jpeg;base64,') == 1


def test_the_page_of_a_training(work_dir):
    out = ErrorReport(work_dir).save()
    html = out.read_text()
    assert out == work_dir / 'report.html'
    assert '<h1>87.5 % of 8 images are right</h1>' in html and 'http' not in html
    check(html)
    assert ErrorReport(work_dir).summary().splitlines() == [
        '  top-1 87.5 %, mean over classes 91.7 % (8 images of insects)',
        '  ant taken for <b>bee: 1 of 6',
    ]


def test_in_the_page_of_a_search(search_dir, work_dir):  # noqa: F811
    report = SearchReport(search_dir, retrain_dir=work_dir)
    html = report.to_html()
    check(html[html.index('<section id="errors">') :].split('</section>')[0])
    assert not [note for note in report.notes if 'Errors' in note]


def test_without_the_file(search_dir, work_dir):  # noqa: F811
    (work_dir / 'errors.json').unlink()
    report = SearchReport(search_dir, retrain_dir=work_dir)
    assert 'id="errors"' not in report.to_html()
    assert f'Errors by class: no errors.json in {work_dir}.' in '\n'.join(report.notes)
    with pytest.raises(FileNotFoundError, match='errors.json not found'):
        ErrorReport(work_dir)

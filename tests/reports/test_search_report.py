"""The report of a search: right numbers, nothing from outside, forgiving about what is absent."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_run import (  # noqa: F401  the fixtures are used
    ARCH,
    LAYERS,
    best_arch,
    board,
    detector_dir,
    front,
    retrain_dir,
    search_dir,
    sections,
    text_of,
    write_json,
    write_scalars,
)

from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content
from cream_mm.reports.search_report import SearchReport
from cream_mm.spaces import NASBench201Space

TOOL = Path(__file__).parents[2] / 'tools' / 'report.py'


@pytest.mark.parametrize('where', ['search', 'retrain', 'detector'])
def test_no_config_of_a_run_is_executed(search_dir, retrain_dir, detector_dir, tmp_path, where):  # noqa: F811
    marker = tmp_path / 'executed'
    folder = dict(search=search_dir, retrain=retrain_dir, detector=detector_dir)[where]
    (folder / 'retinanet.py').unlink(missing_ok=True)
    for path in (folder / 'evil.py', *folder.glob('*/vis_data')):
        path = path if path.suffix else path / 'config.py'
        code = f'import pathlib\nx = pathlib.Path({str(marker)!r}).write_text("")\n'
        path.write_text(f'{code}test_dataloader = dict(dataset={code.splitlines()[1][4:]})\n')
    report = SearchReport(search_dir, retrain_dir=retrain_dir, detector_dir=detector_dir)
    report.to_html()
    assert not marker.exists()
    if where == 'detector':
        assert any('without running it' in note for note in report.notes)


class Links(HTMLParser):
    """Collects what a browser would load, and all ids."""

    def __init__(self):
        super().__init__()
        self.targets, self.ids, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ('href', 'src', 'xlink:href', 'srcset', 'data', 'action'):
                self.targets.append(value)
            if name == 'id':
                self.ids.append(value)


def test_numbers_of_all_inputs_appear(search_dir, retrain_dir, detector_dir):  # noqa: F811
    report = SearchReport(search_dir, retrain_dir=retrain_dir, detector_dir=detector_dir)
    html = report.to_html()
    text = text_of(html)

    assert sections(html) == [
        'results', 'scatter', 'curves', 'architecture', 'cost', 'board', 'errors', 'scenes', 'made',
    ]  # fmt: skip
    assert 'zero taken for one, 6 of 256' in text
    assert (
        'A network of 10.00 M multiply-adds: 97.0 % top-1 in the search, 98.5 % retrained' in text
    )
    assert 'inside the budget of 5 to 20 M' in text
    assert '4 paths were rated (2 from the board and 2 drawn at random)' in text
    assert 'the best rating of all' in text
    assert 'random paths average 94.5 %' in text
    assert '11.25 M' in text  # board FLOPs
    assert 'best 98.8 %' in text
    assert '61.3 %' in text and 'mAP50 90.2 %' in text
    # 4 of 10 M MACs are 40 %.
    assert 'blocks.1.1 MBConv 7 4 24 → 24 1 7×7 4.000 40.0 % 5.00' in text
    assert 'Total of 7 layers 10.000 100 % 18.64' in text
    assert 'The layers sum to' not in text
    assert '★ 2' in text and '96.2 %' in text
    assert 'three 0.93' in text and 'three 0.55' in text and 'three 0.39' not in text
    assert 'configs/demo/search_digits.py' in text
    assert f'python tools/train.py {retrain_dir}/retrain_digits.py --work-dir {retrain_dir}' in text
    assert report.notes == []


def test_page_is_self_contained_and_deterministic(search_dir, retrain_dir, detector_dir):  # noqa: F811
    def page():
        dirs = {'retrain_dir': retrain_dir, 'detector_dir': detector_dir}
        return SearchReport(search_dir, **dirs).to_html()

    html = page()
    links = Links()
    links.feed(html)
    assert not [t for t in links.targets if not t.startswith(('#', 'data:image/'))]
    assert not re.search(r'https?:|@import|url\((?!#)', html)
    assert not links.tags & {'script', 'link', 'iframe', 'object', 'embed'}
    assert len(links.ids) == len(set(links.ids))
    # Figures refer to their own parts only.
    wanted = [t[1:] for t in links.targets if t[0] == '#'] + re.findall(r'url\(#([^)]+)\)', html)
    assert wanted and set(wanted) <= set(links.ids)
    assert page() == html


def test_search_dir_alone_suffices(search_dir):  # noqa: F811
    (search_dir / 'board.json').unlink()
    (search_dir / '20250101_000000' / 'vis_data' / 'scalars.json').unlink()
    report = SearchReport(search_dir)
    html = report.to_html()
    assert sections(html) == ['results', 'architecture', 'cost', 'made', 'notes']
    labels = [label for label, _, _ in report.results()]
    assert 'Retrained top-1' not in labels and 'Detector mAP' not in labels
    for word in ('Scatter plot', 'Search curves', '--retrain', '--detector'):
        assert sum(word in note for note in report.notes) == 1


def test_least_best_arch(tmp_path):
    write_json(tmp_path / 'best_arch.json', {'format': 'cream_mm.arch/1', 'arch': ARCH})
    report = SearchReport(tmp_path)
    assert sections(report.to_html()) == ['results', 'made', 'notes']
    assert report.summary() == '  Chosen architecture  0 | 3 4 | 1 | 0'


def test_missing_detector_files_leave_out_the_scenes(search_dir, detector_dir):  # noqa: F811
    (detector_dir / 'val.bbox.json').unlink()
    report = SearchReport(search_dir, detector_dir=detector_dir)
    assert 'scenes' not in sections(report.to_html())
    assert any('val.bbox.json not found' in note for note in report.notes)
    assert '61.3 %' in report.summary()


@pytest.mark.parametrize(
    'costs, rating, words',
    [
        ({'macs_m': 21.0}, {'top1_pct': 97.0}, 'outside the budget of 5 to 20 M'),
        ({'macs_m': 10.0}, {'top1_pct': 94.5}, 'place 3 by rating'),
        ({'macs_m': 12.0}, {}, 'The layers sum to 10.00 M; best_arch.json states 12.00 M'),
    ],
)
def test_unfavourable_facts_are_told(search_dir, costs, rating, words):  # noqa: F811
    write_json(search_dir / 'best_arch.json', best_arch() | {'costs': costs, 'rating': rating})
    assert words in text_of(SearchReport(search_dir).to_html())


def test_values_are_escaped(search_dir, detector_dir):  # noqa: F811
    evil = '<script>alert(1)</script>'
    data = best_arch() | {'config': evil, 'seed': evil, 'cream_mm': evil, 'space': {'name': evil}}
    data['layers'] = [dict(LAYERS[0], name=evil, op=evil), *LAYERS[1:]]
    data['rating'] = data['rating'] | {'bn_policy': evil}
    write_json(search_dir / 'best_arch.json', data)
    coco = json.loads((detector_dir / 'val.json').read_text())
    coco['categories'][0]['name'] = evil
    write_json(detector_dir / 'val.json', coco)
    html = SearchReport(search_dir, detector_dir=detector_dir).to_html()
    assert '<script' not in html
    assert html.count('&lt;script&gt;') >= 6


def test_clear_errors(search_dir, tmp_path):  # noqa: F811
    with pytest.raises(FileNotFoundError, match='best_arch.json not found.*tools/train.py'):
        SearchReport(tmp_path / 'nowhere')
    write_json(search_dir / 'board.json', {'format': 'cream_mm.board/2'})
    with pytest.raises(ValueError, match=r"board.json has format 'cream_mm.board/2'.*board/1"):
        SearchReport(search_dir)
    write_json(search_dir / 'best_arch.json', {'arch': ARCH})
    with pytest.raises(ValueError, match='best_arch.json has format None.*Run the search again'):
        SearchReport(search_dir)
    (search_dir / 'best_arch.json').write_text('{"format": ')
    with pytest.raises(ValueError, match='best_arch.json is not valid JSON'):
        SearchReport(search_dir)


def test_more_than_a_page_can_show(search_dir, monkeypatch):  # noqa: F811
    for name, value in {
        'search_report.MAX_POINTS': 50, 'tables.MAX_ROWS': 20, 'run_files.MAX_LINES': 200,
    }.items():  # fmt: skip
        monkeypatch.setattr(f'cream_mm.reports.{name}', value)
    data, rows = best_arch(), board()
    rows['rated'] = [dict(rows['rated'][i % 4], macs_m=5 + i / 1000) for i in range(60)]
    rows['entries'] = [dict(rows['entries'][0], rank=i) for i in range(100)]
    write_json(search_dir / 'best_arch.json', data | {'layers': [{}] * 260_000})
    write_json(search_dir / 'board.json', rows)
    lines = [{'loss': 1 + 1 / step, 'lr': 0.1, 'step': step} for step in range(1, 501)]
    write_scalars(search_dir, '20250103_000000', [*lines, {'accuracy/top1': 5.0, 'step': 1}])
    report = SearchReport(search_dir)
    html = report.to_html()
    assert len(html) < 2_000_000
    assert sections(html) == ['results', 'scatter', 'curves', 'board', 'made', 'notes']
    assert html.count('<td class="mono">') == 20
    assert 150 < len(report.train_lines) <= 200 and list(report.val_lines) == [1]
    assert [note for note in report.notes if ': pass --' not in note] == [
        'Drawing and cost table: best_arch.json lists 260,000 layers, more than 1,000.',
        f'Curves: 531 lines under {search_dir}, drawn is one of 3.',
        'Scatter plot: drawn are 50 of 60 rated paths.',
        'Board: the 80 paths after the first 20.',
    ]


def test_command_line(search_dir, retrain_dir, tmp_path, capsys):  # noqa: F811
    spec = importlib.util.spec_from_file_location('report_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    tool.main([str(search_dir)])
    assert (search_dir / 'report.html').read_text(encoding='utf-8').startswith('<!DOCTYPE html>')

    out = tmp_path / 'pages' / 'demo.html'
    tool.main([str(search_dir), '--retrain', str(retrain_dir), '--out', str(out)])
    assert out.is_file() and [p.name for p in out.parent.iterdir()] == ['demo.html']
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f'report: {out}'
    assert '  Retrained top-1      98.5 % (best epoch 98.8 %)' in printed
    with pytest.raises(SystemExit, match='error: .*best_arch.json not found'):
        tool.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        tool.main(['--help'])
    assert 'python tools/report.py work_dirs/demo/search --retrain' in capsys.readouterr().out


def test_how_the_answer_was_chosen_and_what_chance_explains(search_dir):  # noqa: F811
    answer, rated = best_arch(), board()
    note = 'The search has found <nothing> yet'
    answer['choice'] = dict(rule='effects', notes=[note])
    answer['rating'] = dict(answer['rating'], loss=0.30)
    losses = iter([0.25, 0.9, 0.8, 0.7])
    for path in rated['rated']:
        path['loss'] = 0.30 if path['arch'] == answer['arch'] else next(losses)
    rated['rated'][-1]['source'] = 'effects'
    write_json(search_dir / 'best_arch.json', answer)
    write_json(search_dir / 'board.json', rated)
    html = SearchReport(search_dir).to_html()
    text = text_of(html)
    # Its top-1 is the highest, but another path's cross entropy is lower.
    assert 'The chosen one has place 2 by cross entropy' in text
    assert 'It was chosen by the effects of its choices on the training loss.' in text
    assert '1 whose choices lowered the training loss most' in text
    assert 'best training effects (1)' in html
    assert '<p class="warning">The search has found &lt;nothing&gt; yet</p>' in html
    del answer['choice']
    write_json(search_dir / 'best_arch.json', answer)
    assert 'class="warning"' not in SearchReport(search_dir).to_html()  # version 0.1


def test_slices_and_the_full_network_beyond_the_budget(search_dir):  # noqa: F811
    answer, rated = best_arch(), board()
    answer['rating'] = dict(answer['rating'], loss=0.30)
    answer['slice_of'] = dict(arch=ARCH, space=dict(input_sizes=[28, 24]))
    full = dict(arch=[[1]], source='reference', macs_m=50.0, top1_pct=99.0)
    rated['rated'] = [dict(path, loss=0.40 + i) for i, path in enumerate(rated['rated'])]
    rated['rated'].append(dict(full, loss=0.01))  # the budget is 5 to 20 M
    write_json(search_dir / 'best_arch.json', answer)
    write_json(search_dir / 'board.json', rated)
    text = text_of(SearchReport(search_dir).to_html())
    assert 'The chosen one has the lowest cross entropy of all within the budget: 97.0 %' in text
    assert 'A full network of the space “tiny” was trained, and then its slices' in text
    assert 'on images of 28, 24 pixels of 10 classes; all slices share its weights.' in text
    assert 'Board FLOPs' not in text


def test_the_front_is_shown_where_there_is_one(search_dir):  # noqa: F811
    without = SearchReport(search_dir).to_html()
    write_json(search_dir / 'front.json', front())
    report = SearchReport(search_dir)
    html = report.to_html()
    found = sections(html)
    assert found[:3] == ['results', 'scatter', 'front'] and 'front' not in sections(without)
    start, end = (html.index(f'\n<section id="{name}">') for name in ('front', 'curves'))
    assert html[:start] + html[end:] == without  # nothing else is changed
    text = text_of(html[start:end])
    assert 'The best path up to each of several costs, by training losses' in text
    assert 'ratings are of the same 500 images' in text
    assert 'cheapest 0 | 0 0 | 0 | 0 7.00 −30.0 % 0.010 0.1200 94.0 % −3.0 points' in text
    assert '★ answer 0 | 3 4 | 1 | 0 10.00 +0.0 % 0.019 0.0600 97.0 % +0.0 points' in text
    assert 'wide – 14.00 +40.0 % – – – –' in text
    assert not any('front' in note or 'budgets' in note for note in report.notes)


def test_a_front_without_ratings_has_a_table_and_no_figure(search_dir):  # noqa: F811
    content = front()
    for row in (content['answer'], *content['steps'], *content['references']):
        row['rating'] = None
    write_json(search_dir / 'front.json', content)
    html = SearchReport(search_dir).to_html()
    section = html[html.index('<section id="front">') : html.index('<section id="curves">')]
    assert '<svg' not in section and section.count('<tr') == 7 and 'images' not in section


def test_a_search_without_a_board(search_dir):  # noqa: F811
    """A detector's: its paths are in search.json, rated by box mAP."""
    (search_dir / 'board.json').unlink()
    best = json.loads((search_dir / 'best_arch.json').read_text())
    rating = dict(metric='coco/bbox_mAP', value=0.5, num_images=20)
    rating['bn_policy'] = 'recalibrate(16 images)'
    write_json(search_dir / 'best_arch.json', dict(best, rating=rating))
    rated = [
        dict(arch=arch, source=source, macs_m=macs, params_m=0.1, metric='coco/bbox_mAP', value=v)
        for arch, source, macs, v in (
            (best['arch'], 'effects', 10.0, 0.5), (ARCH, 'random', 8.0, 0.25),
        )
    ]  # fmt: skip
    write_json(search_dir / 'search.json', dict(format='cream_mm.search/1', rated=rated))
    report = SearchReport(search_dir)
    assert ('Search rating', '50.0 %') in [row[:2] for row in report.results()]
    html = report.to_html().replace('\u00a0', ' ')
    note = 'box mAP with the weights of the supernet, 20 images, batch norm statistics measured'
    assert f'{note} anew on 16 images' in html
    assert '50.0 % box mAP without retraining; random paths average 25.0 %' in html


def test_a_search_of_cells(tmp_path):
    """The cell as a graph and as the benchmark writes it; operations by name on board and front."""
    space = NASBench201Space(num_cells=1)
    costs = build_cost_model(space, 16, 10)
    text = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'
    arch = space.parse(text)
    answer = arch_content(arch, costs, rating=dict(top1_pct=50.0, num_images=100))
    (tmp_path / 'best_arch.json').write_text(json.dumps(answer))
    entry = dict(rank=1, arch=arch.to_list(), macs_m=1.0, params_m=0.1, top1_pct=50.0)
    board = dict(format='cream_mm.board/1', capacity=1, entries=[entry], rated=[])
    (tmp_path / 'board.json').write_text(json.dumps(board))
    row = dict(arch=arch.to_list(), costs=answer['costs'], rating=dict(score=1, top1_pct=50.0))
    front = dict(format='cream_mm.front/1', cost='macs_m', score='cross_entropy', answer=row,
                 steps=[dict(row, bound=9.0)])  # fmt: skip
    (tmp_path / 'front.json').write_text(json.dumps(front))
    report = SearchReport(tmp_path)
    results = {label: value for label, value, _ in report.results()}
    assert results['Chosen architecture'] == text and 'Board FLOPs' not in results
    page = report.to_html()
    assert 'aria-label="Graph of the chosen cell"' in page and page.count('<rect class="node"') == 4
    assert page.count('<span class="stage">none skip |</span>') == 2  # board and front
    # A space that is not known here, or damaged: numbers.
    answer['space']['channels'] = 'many'
    (tmp_path / 'best_arch.json').write_text(json.dumps(answer))
    report = SearchReport(tmp_path)
    assert report.results()[0][1] == '3 | 0 1 | 4 0 2' and report.to_html()

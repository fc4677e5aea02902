"""The report of a search: right numbers, nothing from outside, forgiving about what is absent."""

import base64
import importlib.util
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cream_mm.reports.search_report import (
    SearchReport,
    _embed_image,
    draw_arch,
    draw_scenes,
    format_count,
    read_scalars,
)

ARCH = [[0], [3, 4], [1], [0]]
TOOL = Path(__file__).parents[2] / 'tools' / 'report.py'


def layer(name, op, stage, kernel, expand, channels, stride, size, macs, params):
    """One entry of "layers" in best_arch.json."""
    return {
        'name': name, 'op': op, 'stage': stage, 'kernel': kernel, 'expand': expand,
        'in_channels': channels[0], 'out_channels': channels[1], 'stride': stride,
        'out_size': [size, size], 'macs': macs, 'params': params,
    }  # fmt: skip


LAYERS = [
    layer('stem', 'conv3x3', None, 3, None, (1, 16), 2, 14, 1_000_000, 400),
    layer('blocks.0.0', 'DSConv', 0, 3, None, (16, 16), 1, 14, 500_000, 600),
    layer('blocks.1.0', 'MBConv', 1, 5, 6, (16, 24), 2, 7, 2_000_000, 3_000),
    layer('blocks.1.1', 'MBConv', 1, 7, 4, (24, 24), 1, 7, 4_000_000, 5_000),
    layer('blocks.2.0', 'MBConv', 2, 3, 6, (24, 40), 2, 4, 2_000_000, 7_000),
    layer('blocks.3.0', 'conv1x1', 3, 1, None, (40, 64), 1, 4, 400_000, 2_000),
    layer('classifier', 'linear', None, None, None, (64, 10), 1, 1, 100_000, 640),
]


def best_arch():
    """A best_arch.json; its costs are those of LAYERS: 10 M MACs, 18,640 parameters."""
    return {
        'format': 'cream_mm.arch/1',
        'arch': ARCH,
        'space': {'name': 'tiny'},
        'num_classes': 10,
        'input_size': [28, 28],
        'costs': {'macs_m': 10.0, 'params_m': 0.01864, 'board_flops_m': 11.25},
        'rating': {'top1_pct': 97.0, 'num_images': 500, 'bn_policy': 'recalibrate(8)'},
        'budget': {'macs_m': [5, 20]},
        'config': 'configs/demo/search_digits.py',
        'seed': 7,
        'cream_mm': '0.1.0',
        'layers': LAYERS,
    }


def board():
    """Two board entries, the second of them chosen, and two random paths."""
    entries = [
        {'rank': 0, 'arch': [[0], [5, 5], [5], [0]], 'train_top1_pct': 98.5, 'macs_m': 14.0,
         'params_m': 0.03, 'top1_pct': 96.25},
        {'rank': 1, 'arch': ARCH, 'train_top1_pct': 98.0, 'macs_m': 10.0, 'params_m': 0.01864,
         'top1_pct': 97.0},
    ]  # fmt: skip
    random = [
        {'arch': [[0], [0, c], [c], [0]], 'source': 'random', 'macs_m': 7.0 + c,
         'params_m': 0.01, 'top1_pct': 94.0 + c}
        for c in range(2)
    ]  # fmt: skip
    return {
        'format': 'cream_mm.board/1',
        'capacity': 10,
        'budget': {'macs_m': [5, 20]},
        'entries': entries,
        'rated': [dict(entry, source='board') for entry in entries] + random,
    }


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_scalars(work_dir, timestamp, lines):
    """As mmengine's LocalVisBackend does: one object per line."""
    path = work_dir / timestamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


@pytest.fixture
def search_dir(tmp_path):
    """A complete search directory."""
    path = tmp_path / 'search'
    write_json(path / 'best_arch.json', best_arch())
    write_json(path / 'board.json', board())
    lines = [
        {'loss': 2 / step, 'loss_cls': 1 / step, 'train_top1': 90 + step / 10, 'board_best': 99.0,
         'board_worst': 91.0, 'lr': 0.1 / step, 'time': 0.2, 'epoch': 1, 'step': step}
        for step in range(1, 31)
    ]  # fmt: skip
    write_scalars(path, '20250101_000000', lines)
    return path


@pytest.fixture
def retrain_dir(tmp_path):
    path = tmp_path / 'retrain'
    lines = [{'accuracy/top1': value, 'step': i + 1} for i, value in enumerate((91.0, 98.75, 98.5))]
    write_scalars(path, '20250102_000000', lines)
    (path / 'retrain_digits.py').write_text('')
    return path


@pytest.fixture
def detector_dir(tmp_path):
    path = tmp_path / 'detector'
    line = {'coco/bbox_mAP': 0.613, 'coco/bbox_mAP_50': 0.902, 'step': 1}
    write_scalars(path, '20250103_000000', [line])
    images = [{'id': i, 'file_name': f'{i}.png', 'width': 64, 'height': 48} for i in range(8)]
    truth = {'id': 1, 'image_id': 0, 'category_id': 3, 'bbox': [10, 10, 20, 20]}
    categories = [{'id': 3, 'name': 'three'}]
    write_json(
        path / 'val.json', {'images': images, 'annotations': [truth], 'categories': categories}
    )
    for image in images:
        (path / 'val').mkdir(exist_ok=True)
        Image.new('L', (64, 48), 30).save(path / 'val' / image['file_name'])
    write_json(
        path / 'val.bbox.json',
        [
            {'image_id': 0, 'category_id': 3, 'bbox': [11, 11, 20, 20], 'score': 0.93},
            {'image_id': 0, 'category_id': 3, 'bbox': [40, 20, 9, 9], 'score': 0.55},
            {'image_id': 0, 'category_id': 3, 'bbox': [0, 0, 5, 5], 'score': 0.39},
        ],
    )
    (path / 'retinanet.py').write_text(
        'test_dataloader = dict(dataset=dict('
        f'data_root={str(path)!r}, ann_file="val.json", data_prefix=dict(img="val/")))'
    )
    return path


@pytest.mark.parametrize('where', ['search', 'retrain', 'detector'])
def test_no_config_of_a_run_is_executed(search_dir, retrain_dir, detector_dir, tmp_path, where):
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


def text_of(html):
    """Visible text with plain spaces and hyphens."""
    text = re.sub(r'<style>.*?</style>|<[^>]+>', ' ', html, flags=re.S)
    text = text.replace('\u00a0', ' ').replace('\u2011', '-')
    return ' '.join(text.split())


def sections(html):
    return re.findall(r'<section id="(\w+)"', html)


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


def test_numbers_of_all_inputs_appear(search_dir, retrain_dir, detector_dir):
    report = SearchReport(search_dir, retrain_dir=retrain_dir, detector_dir=detector_dir)
    html = report.to_html()
    text = text_of(html)

    assert sections(html) == [
        'results', 'scatter', 'curves', 'architecture', 'cost', 'board', 'scenes', 'made',
    ]  # fmt: skip
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
    assert '★ 1' in text and '96.2 %' in text
    assert 'three 0.93' in text and 'three 0.55' in text and 'three 0.39' not in text
    assert 'configs/demo/search_digits.py' in text
    assert f'python tools/train.py {retrain_dir}/retrain_digits.py --work-dir {retrain_dir}' in text
    assert report.notes == []


def test_page_is_self_contained_and_deterministic(search_dir, retrain_dir, detector_dir):
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


def test_search_dir_alone_suffices(search_dir):
    (search_dir / 'board.json').unlink()
    (search_dir / '20250101_000000' / 'vis_data' / 'scalars.json').unlink()
    report = SearchReport(search_dir)
    html = report.to_html()
    assert sections(html) == ['results', 'architecture', 'cost', 'made', 'notes']
    labels = [label for label, _, _ in report.results()]
    assert 'Retrained top-1' not in labels and 'Detector mAP' not in labels
    for word in ('Board', 'Search curves', '--retrain', '--detector'):
        assert sum(word in note for note in report.notes) == 1


def test_least_best_arch(tmp_path):
    write_json(tmp_path / 'best_arch.json', {'format': 'cream_mm.arch/1', 'arch': ARCH})
    report = SearchReport(tmp_path)
    assert sections(report.to_html()) == ['results', 'made', 'notes']
    assert report.summary() == '  Chosen architecture  0 | 3 4 | 1 | 0'


def test_missing_detector_files_leave_out_the_scenes(search_dir, detector_dir):
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
def test_unfavourable_facts_are_told(search_dir, costs, rating, words):
    write_json(search_dir / 'best_arch.json', best_arch() | {'costs': costs, 'rating': rating})
    assert words in text_of(SearchReport(search_dir).to_html())


def test_values_are_escaped(search_dir, detector_dir):
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


def test_clear_errors(search_dir, tmp_path):
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


def test_resumed_runs_are_joined_by_step_and_later_ones_win(tmp_path):
    write_scalars(tmp_path, '20250102_000000', [{'loss': 20.0, 'step': s} for s in (3, 4)])
    write_scalars(tmp_path, '20250101_000000', [{'loss': 10.0, 'step': s} for s in (1, 2, 3)])
    write_scalars(tmp_path, '20250103_000000', [{'accuracy/top1': 50.0, 'step': 1}])
    with (tmp_path / '20250102_000000' / 'vis_data' / 'scalars.json').open('a') as file:
        file.write('{"loss": 3')  # killed while writing
    train, val = read_scalars(tmp_path)
    assert {s: line['loss'] for s, line in train.items()} == {1: 10.0, 2: 10.0, 3: 20.0, 4: 20.0}
    assert list(train) == [1, 2, 3, 4]
    assert val == {1: {'accuracy/top1': 50.0, 'step': 1}}


def test_curves_survive_unknown_and_non_finite_values(tmp_path):
    write_json(tmp_path / 'best_arch.json', best_arch())
    lines = [{'loss': float('nan'), 'train_top1': 50.0, 'mystery': 1.0, 'step': 1}]
    write_scalars(tmp_path, '20250101_000000', lines)
    html = SearchReport(tmp_path).to_html()
    assert 'curves' in sections(html) and 'mystery' not in html and 'learning rate' not in html


@pytest.mark.parametrize('copies', [1, 3, 12])
def test_drawing_stays_inside_and_boxes_do_not_overlap(copies):
    stages = [
        dict(part, name=f'{part["name"]}.{i}', stage=10 * i + (part['stage'] or 9))
        for i in range(copies)
        for part in LAYERS
    ]
    drawing = draw_arch(stages, [224, 224])
    boxes = drawing['boxes']
    assert len(boxes) == len(stages)
    for box in boxes:
        assert box['x'] >= 0 and box['x'] + box['width'] <= drawing['width']
        assert box['y'] >= 0 and box['y'] + box['height'] <= drawing['height']
    for a, b in zip(boxes, boxes[1:], strict=False):
        assert a['x'] + a['width'] < b['x'] or a['middle'] < b['middle']


def test_height_shows_expansion_and_colour_shows_kernel():
    boxes = {b['tip'].split(':')[0]: b for b in draw_arch(LAYERS)['boxes']}
    assert boxes['blocks.1.0']['height'] > boxes['blocks.1.1']['height'] > boxes['stem']['height']
    assert boxes['blocks.2.0']['color'] == boxes['stem']['color']
    assert len({boxes[f'blocks.{i}']['color'] for i in ('1.0', '1.1', '2.0', '3.0')}) == 4


def test_images_from_outside_the_set_are_not_shown(search_dir, detector_dir, tmp_path):
    """Whatever an annotation file names; links are followed, pipes and devices not opened."""
    secret = tmp_path / 'secret.png'
    Image.new('L', (64, 48), 99).save(secret)
    val = detector_dir / 'val'
    (val / 'link.png').symlink_to(secret)
    (val / 'folder').symlink_to(tmp_path)
    (val / 'device.png').symlink_to('/dev/zero')
    os.mkfifo(val / 'pipe.png')
    (detector_dir / 'shared').mkdir()
    (val / '0.png').rename(detector_dir / 'shared/0.png')  # a link within the set
    (val / '0.png').symlink_to('../shared/0.png')
    outside = ['../../secret.png', str(secret), 'link.png', 'folder/secret.png']
    none = ['device.png', 'pipe.png', 'none.png', 'x' * 5000, '\0', '\ud800', '.', '']
    for name in [*outside, *none, '0.png', '../val/0.png']:
        coco = json.loads((detector_dir / 'val.json').read_text())
        coco['images'] = [dict(coco['images'][0], file_name=name)]
        write_json(detector_dir / 'val.json', coco)
        report = SearchReport(search_dir, detector_dir=detector_dir)
        told = [note for note in report.notes if note.startswith('Validation scenes: ')]
        is_shown = name.endswith('0.png')
        assert [scene['name'] for scene in report.scenes] == [name] * is_shown
        assert len(told) == 0 if is_shown else len(told) == 1 + (name in outside)
        assert name not in outside or '1 images that lie outside the set' in told[0]
    assert report.to_html().count('<image') == 1


def test_images_that_cannot_be_shown_are_named(search_dir, detector_dir, monkeypatch):
    (detector_dir / 'val/0.png').write_bytes(b'no image')
    (detector_dir / 'val/7.png').write_bytes((detector_dir / 'val/1.png').read_bytes()[:60])
    Image.new('L', (3000, 3000)).save(detector_dir / 'val/4.png')
    monkeypatch.setattr('cream_mm.reports.search_report.MAX_PIXELS', 8_000_000)
    report = SearchReport(search_dir, detector_dir=detector_dir)
    assert [scene['name'] for scene in report.scenes] == ['1.png', '3.png', '6.png']
    told = ' '.join(report.notes)
    assert all(f'val/{i}.png cannot be shown' in told for i in (0, 4, 7))
    assert '3000 x 3000 pixels' in told


def test_more_than_a_page_can_show(search_dir, monkeypatch):
    for name, value in dict(MAX_POINTS=50, MAX_ROWS=20).items():
        monkeypatch.setattr(f'cream_mm.reports.search_report.{name}', value)
    monkeypatch.setattr('cream_mm.reports.run_files.MAX_LINES', 200)
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


def test_scenes_judge_each_box_once(detector_dir):
    coco = json.loads((detector_dir / 'val.json').read_text())
    twice = [
        {'image_id': 0, 'category_id': 3, 'bbox': [10, 10, 20, 20], 'score': score}
        for score in (0.6, 0.9)
    ]
    scenes = draw_scenes(coco, twice, detector_dir / 'val')
    assert [s['name'] for s in scenes] == [f'{i}.png' for i in (0, 1, 3, 4, 6, 7)]
    first, second = scenes[0]['boxes']
    assert first['text'] == 'three 0.90' and first['color'] != second['color']
    assert [s['missed'] for s in scenes] == [0] * 6


def test_a_scene_is_shown_as_the_detector_saw_it(detector_dir):
    coco = json.loads((detector_dir / 'val.json').read_text())
    exif = Image.Exif()
    exif[0x0112] = 6
    values = (np.arange(40 * 60).reshape(40, 60) * 20).astype(np.uint16)
    path = detector_dir / 'val' / coco['images'][0]['file_name']
    Image.fromarray(values).save(path, 'PNG', exif=exif)
    uri, width, height = _embed_image(path)
    assert (width, height) == (40, 60)
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(',')[2]))) as image:
        assert np.array_equal(np.asarray(image)[..., 0], np.rot90(values >> 8, -1))


def test_a_scene_is_a_regular_file(tmp_path):
    (tmp_path / '0.png').symlink_to('/dev/zero')
    with pytest.raises(ValueError, match='0.png is a device, not a regular file'):
        _embed_image(tmp_path / '0.png')


@pytest.mark.parametrize(
    'count, text',
    [(1296, '1,296'), (60_466_176, '60.5 million'), (3.4e10, '34 billion'), (2e16, 'about 10¹⁶')],
)
def test_counts_in_words(count, text):
    assert format_count(count) == text


def test_command_line(search_dir, retrain_dir, tmp_path, capsys):
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
    assert '  Retrained top-1      98.5 %' in printed
    with pytest.raises(SystemExit, match='error: .*best_arch.json not found'):
        tool.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        tool.main(['--help'])
    assert 'python tools/report.py work_dirs/demo/search --retrain' in capsys.readouterr().out


def test_how_the_answer_was_chosen_and_what_chance_explains(search_dir):
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
    assert 'The chosen one has place 2 by rating' in text
    assert 'It was chosen by the effects of its choices on the training loss.' in text
    assert '1 of the best training effects' in text and 'best training effects (1)' in html
    assert '<p class="warning">The search has found &lt;nothing&gt; yet</p>' in html
    del answer['choice']
    write_json(search_dir / 'best_arch.json', answer)
    assert 'class="warning"' not in SearchReport(search_dir).to_html()  # version 0.1

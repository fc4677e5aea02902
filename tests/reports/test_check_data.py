"""tools/check_data.py as a user runs it, and what it writes as configs read it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cream_mm.commands import check_data as tool
from cream_mm.config import load_config
from cream_mm.datasets.set_kind import KINDS
from cream_mm.reports.check_data import check_data, divide, split_lines


def scene(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(values).resize((80, 60), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def flowers(tmp_path):
    """20 + 10 images to train on, 4 + 2 to test on, of which one is a copy."""
    for k, (name, number) in enumerate((('daisy', 24), ('rose', 12))):
        for i in range(number):
            split = 'train' if i < number * 5 // 6 else 'test'
            scene(tmp_path / f'flowers/{split}/{name}/{i}.png', 100 * k + i)
    scene(tmp_path / 'flowers/train/rose/copy.png', 111)  # test/rose/11.png
    return tmp_path / 'flowers'


def test_a_new_split_keeps_copies_together_and_the_test_set_where_asked(flowers):
    check = check_data(flowers)
    (part,) = divide(check, share=0.25)
    assert sorted(part['train'] + part['val']) == list(range(37)) and len(part['val']) == 9
    places = {p.name: i for i, p in enumerate(check.source.pictures)}
    pair = places['train/rose/copy.png'], places['test/rose/11.png']
    assert sum(i in part['val'] for i in pair) in (0, 2)
    (part,) = divide(check, share=0.25, keep_test=True)
    assert len(part['test']) == 6 and len(part['val']) == 7  # of 20 and 10: 5 and 2, rounded
    assert places['train/rose/copy.png'] not in part['train'] + part['val']
    assert any('1 of 37 pictures are left out' in line for line in split_lines(check, [part]))


def test_folds_hold_out_each_image_once(flowers):
    parts = divide(check_data(flowers), folds=4)
    held = [i for part in parts for i in part['val']]
    assert sorted(held) == list(range(37))
    assert all(not set(part['train']) & set(part['val']) for part in parts)


def test_what_nobody_could_read_is_refused(flowers):
    with pytest.raises(ValueError, match="kind is one of coco, .*; got 'folders'"):
        check_data(flowers, 'folders')
    with pytest.raises(FileNotFoundError, match='gone is not there'):
        check_data(flowers / 'gone')


def test_what_a_reader_refuses_is_an_error_and_pictures_are_looked_at(tmp_path):
    scene(tmp_path / 'voc/JPEGImages/a.png', 0)
    (tmp_path / 'voc/JPEGImages/bad.png').write_bytes(b'')
    (tmp_path / 'voc/Annotations').mkdir()
    (tmp_path / 'voc/Annotations/a.xml').write_text('<annotation><object>')
    check = check_data(tmp_path / 'voc')
    assert check.has_errors and check.source.kind == 'images'
    errors = [finding.text for finding in check.findings if finding.level == 'error']
    assert 'a.xml' in errors[0] and 'the file is empty' in errors[1]


def test_the_tool(flowers, tmp_path, capsys):
    out = tmp_path / 'out'
    assert tool.main([str(flowers), '--out', str(out)]) == 0
    text = capsys.readouterr().out
    assert text.endswith(f'next\n  cream-mm search --data {flowers}\n')
    assert '37 images of 2 classes in train and test' in text
    assert 'train/rose/copy.png = test/rose/11.png' in text
    assert (out / 'data_report.html').stat().st_size > 10_000
    (flowers / 'train/rose/bad.jpg').write_bytes(b'')
    assert tool.main([str(flowers), '--out', str(out), '--json']) == 1
    content = json.loads(capsys.readouterr().out)
    assert content['counts'] == {'train': [20, 12], 'test': [4, 2]}
    assert [f['level'] for f in content['findings']][0] == 'error'


def test_lists_of_a_split_are_a_data_root(flowers, tmp_path, capsys):
    out = str(tmp_path / 'out')
    args = [str(flowers), '--out', out, '--split', '0.25', '--apply', 'lists']
    assert tool.main(args) == 0
    text = capsys.readouterr().out
    assert f'data_root={out}/split' in text and f'cream-mm search --data {out}/split\n' in text
    cfg = load_config('configs/demo/retrain_digits.py', dict(data_root=f'{out}/split'))
    assert cfg.model.head.num_classes == 2
    assert cfg.train_dataloader.dataset.type == 'cream_mm.LabelledImages'


def test_a_copy_is_a_data_root_of_a_detector(tmp_path, capsys):
    for i in range(12):
        scene(tmp_path / f'voc/JPEGImages/{i}.png', i)
        xml = tmp_path / f'voc/Annotations/{i}.xml'
        xml.parent.mkdir(exist_ok=True)
        xml.write_text(
            f'<annotation><object><name>{"ox" if i % 2 else "yak"}</name><bndbox><xmin>11</xmin>'
            '<ymin>6</ymin><xmax>40</xmax><ymax>50</ymax></bndbox></object></annotation>'
        )
    args = [str(tmp_path / 'voc'), '--out', str(tmp_path / 'out'), '--split', '0.25']
    assert tool.main([*args, '--apply', 'copy']) == 0
    root = f'{tmp_path}/voc-split'
    assert f'data_root={root}' in capsys.readouterr().out
    cfg = load_config('configs/retinanet_cream.py', dict(data_root=root))
    assert cfg.model.bbox_head.num_classes == 2
    assert len(list(Path(root, 'val2017').rglob('*.png'))) == 4  # 2 of each class of 6, rounded


def test_the_kinds_of_the_help_are_those_that_are_read():
    assert tool.KINDS == KINDS


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--apply', 'copy'], 'belong to --split'),
        (['--split', '2'], 'between 0 and 1; got 2'),
        (['--folds', '1'], '2 or more'),
        (['--folds', '3', '--apply', 'copy'], '--apply lists'),
    ],
)
def test_options_that_do_not_fit(args, message, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['data', *args])
    assert message in capsys.readouterr().err


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='is not there'):
        tool.main([str(tmp_path / 'gone')])

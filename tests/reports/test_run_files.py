"""Every file that a report reads, damaged in every way: a page, or one line that names the file."""

import copy
import json
import random
import time

import pytest
from made_run import (  # noqa: F401  the fixtures are used
    answer_of_blocks,
    best_arch,
    block_ratings,
    board,
    detector_dir,
    front,
    retrain_dir,
    search_dir,
    write_json,
    write_scalars,
)

from cream_mm.files.config_values import read_value
from cream_mm.reports import run_files
from cream_mm.reports.rated_blocks import Blocks
from cream_mm.reports.run_files import (
    read_answer,
    read_board,
    read_detections,
    read_front,
    read_scalars,
)
from cream_mm.reports.search_report import SearchReport

VALUES = [
    float('nan'), float('inf'), 1e308, -1e300, 10**290, -1, 0, 0.5, True, None, 'x', '\ud800', '\0',
    'y' * 9999, '<b>"&', [], {}, [[1]], [None] * 3, {'a': 1}, [1] * 3000,
]  # fmt: skip
TEXTS = [
    b'', b'\0' * 10**5, b'[' * 10**5, b'{"a":' * 10**5, b'[' * 900 + b']' * 900, b'9' * 400,
    b'9' * 5000, b'\xff\xfe{', b'\x89PNG\r\n\x1a\n' * 99, b'x' * 10**6, b'null',
    b'[' + b'[],' * 10**5 + b'1]', b'"text"', b'{"a": 1, "a": 2}',
]  # fmt: skip
DETECTIONS = ['val.json', 'val.bbox.json']
JSON_FILES = ['best_arch.json', 'board.json', 'front.json', 'block_ratings.json', *DETECTIONS]


def places(value, at=()):
    """Where something stands in a nested value; of a list, in its first item."""
    yield at
    items = {dict: dict.items, list: lambda some: enumerate(some[:1])}.get(type(value))
    for key, item in items(value) if items else ():
        yield from places(item, (*at, key))


def changed(content, place, value):
    if not place:
        return value
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


@pytest.fixture
def files(search_dir, retrain_dir, detector_dir):  # noqa: F811
    """Name -> (path, what reads it)."""
    write_json(search_dir / 'front.json', front())
    write_json(search_dir / 'block_ratings.json', block_ratings())
    scalars = next(search_dir.glob('*/vis_data/scalars.json'))
    boxes = [detector_dir / name for name in DETECTIONS]
    return {
        'best_arch.json': (search_dir / 'best_arch.json', lambda path: read_answer(path, [])),
        'board.json': (search_dir / 'board.json', read_board),
        'front.json': (search_dir / 'front.json', read_front),
        'block_ratings.json': (
            search_dir / 'block_ratings.json',
            lambda path: Blocks(path, answer_of_blocks(), []),
        ),
        'scalars.json': (scalars, lambda path: read_scalars(path.parents[2])),
        'val.json': (boxes[0], lambda path: read_detections(*boxes)),
        'val.bbox.json': (boxes[1], lambda path: read_detections(*boxes)),
        'retinanet.py': (detector_dir / 'retinanet.py', lambda path: read_value(path, 'x')),
    }


def reads(read, path):
    """Whether a file is read; if not, it says so in one line."""
    start = time.process_time()
    try:
        read(path)
        return True
    except (OSError, ValueError) as error:
        text = str(error.args[-1])
        assert path.name in text and '\n' not in text and len(text) < len(str(path)) + 400
        return False
    finally:
        assert time.process_time() - start < 5  # under a loaded machine, too


@pytest.mark.parametrize('name', [*JSON_FILES, 'scalars.json', 'retinanet.py'])
def test_other_texts(files, name):
    path, read = files[name]
    whole = path.read_bytes()
    for text in [*TEXTS, whole[: len(whole) // 2], whole[:-2] + b'\xff\xff']:
        path.write_bytes(text)
        # Logs leave out what is no line of theirs.
        assert not reads(read, path) or name == 'scalars.json'
    path.write_bytes(whole.decode().encode('utf-16'))
    assert reads(read, path) or name == 'retinanet.py'  # which has no x


@pytest.mark.parametrize('name', JSON_FILES)
def test_what_is_read_is_drawn(files, search_dir, detector_dir, name, monkeypatch):  # noqa: F811
    """The page is made of what the readers let through; the figures are drawn for a sample."""
    rng = random.Random(name)
    path, read = files[name]
    content, accepted = json.loads(path.read_text()), []
    for place in dict.fromkeys(places(content)):
        for value in rng.sample(VALUES, 4):
            mutated = changed(content, place, value)
            path.write_text(json.dumps(mutated))
            if reads(read, path):
                accepted.append(mutated)
    assert len(accepted) >= 5
    for mutated in rng.sample(accepted, 3):
        path.write_text(json.dumps(mutated))
        html = SearchReport(search_dir, detector_dir=detector_dir).to_html()
        assert '<b>"&' not in html and len(html) < 10**6


def test_what_is_read_is_drawn_of_curves(files, search_dir):  # noqa: F811
    path, read = files['scalars.json']
    line = json.loads(path.read_text().splitlines()[3])
    for value in VALUES:
        text = path.read_text()
        more = [json.dumps({**line, key: value}) for key in line]
        path.write_text(text + '\n'.join([*more, '{"loss": 1, "step": 5', '']))
        assert reads(read, path)
        for lines in read_scalars(search_dir):
            assert all(run_files.is_number(v) for row in lines.values() for v in row.values())
    notes = []
    read_scalars(search_dir, notes)
    assert len(notes) == 1 and 'damaged lines are left out' in notes[0]
    assert SearchReport(search_dir).to_html()


def test_good_files_are_read_as_they_are(files):
    answer = best_arch()
    layers = [{k: v for k, v in layer.items() if v is not None} for layer in answer['layers']]
    assert read_answer(files['best_arch.json'][0], []) == dict(
        answer, layers=layers, choice={}, latency={}
    )
    assert read_board(files['board.json'][0]) == board()
    whole = front()
    del whole['references'][3]['arch'], whole['references'][3]['rating']  # both null
    assert read_front(files['front.json'][0]) == whole
    content, found = read_detections(files['val.json'][0], files['val.bbox.json'][0])
    assert found == json.loads(files['val.bbox.json'][0].read_text())
    assert content['annotations'][0]['bbox'] == [10, 10, 20, 20] and len(content['images']) == 8


def test_the_entry_is_named(files):
    path, read = files['board.json']
    write_json(path, changed(board(), ('rated', 2, 'arch', 1, 0), 'one'))
    with pytest.raises(ValueError, match=r'board.json: "rated"\[2\].arch\[1\]\[0\] is \'one\''):
        read(path)
    path, read = files['best_arch.json']
    write_json(path, changed(best_arch(), ('arch',), [[0], [1] * 260_000, [0]]))
    with pytest.raises(ValueError, match='"arch" has 260002 layers; 1000 are the most'):
        read(path)


@pytest.mark.parametrize('key', ['cost', 'score', 'answer'])
def test_a_front_without_its_axes_or_answer(tmp_path, key):
    content = front()
    del content[key]
    write_json(tmp_path / 'front.json', content)
    with pytest.raises(ValueError, match=f'front.json has no "{key}"'):
        read_front(tmp_path / 'front.json')


@pytest.mark.parametrize(
    'place, value, told',
    [
        (('by',), 'luck', '"by" is \'luck\', which no run writes'),
        (('higher_is_better',), 1, '"higher_is_better" is 1'),
        (('steps', 1, 'rating', 'top1_pct'), 101, r'"steps"\[1\].rating.top1_pct is 101'),
        (('references', 3, 'costs', 'macs_m'), '14', r'"references"\[3\].costs.macs_m is \'14\''),
        (('budget', 'macs_m'), [5], r'"budget".macs_m is \[5\]'),
    ],
)
def test_the_entry_of_a_front_is_named(tmp_path, place, value, told):
    write_json(tmp_path / 'front.json', changed(front(), place, value))
    with pytest.raises(ValueError, match=f'front.json: {told}'):
        read_front(tmp_path / 'front.json')


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

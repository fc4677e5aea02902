"""benchmarks/photos.py: which runs there are, which one is next, and what the page says."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def modules():
    sys.path.insert(0, str(ROOT / 'benchmarks'))
    try:
        import photos
        import photos_page

        yield SimpleNamespace(photos=photos, page=photos_page)
    finally:
        sys.path.remove(str(ROOT / 'benchmarks'))
        for name in ('photos', 'photos_page'):
            sys.modules.pop(name, None)


def made(name, hits, losses, **more):
    """A record whose images answered so."""
    return dict(
        format='cream_mm.comparison/1', name=name, kind=name, images='same', num_images=len(hits),
        top1=100 * sum(hits) / len(hits), ce=float(np.mean(losses)), hits=''.join(map(str, hits)),
        losses=list(losses), macs_m=50.0, full_macs_m=100.0, params_m=3.0, input_size=128,
        minutes=9.0, cpu_s=900.0, **more,
    )  # fmt: skip


@pytest.fixture
def records():
    """Two folds of 100 images: found is right where the full network is, and on 3 of its misses."""
    full, found, narrow = ([1] * n + [0] * (100 - n) for n in (87, 90, 90))
    narrow = narrow[::-1]  # as many hits, on other images
    runs = dict(teacher=full, full=full) | {
        'found-50': found, 'lower-size-50': full, 'narrower-50': narrow, 'shallower-50': full,
        'random-1-50': [0] * 100, 'random-2-50': full,
    }  # fmt: skip
    return {
        ('clothing', fold, name): made(name, hits, [0.5 - 0.1 * hit for hit in hits])
        for fold in range(2)
        for name, hits in runs.items()
    }


def test_the_page_says_what_the_intervals_say(modules, records, tmp_path):
    text = modules.page.write_page(records, tmp_path).read_text()
    rows = {line.split(' | ')[0]: line for line in text.splitlines() if line.startswith('| ')}
    # Hits differ on 6 of 200 images: 100 points each, deviation sqrt(n p (1 - p) / (n - 1)).
    half = 1.959964 * 100 * np.sqrt(200 * 0.03 * 0.97 / 199) / np.sqrt(200)
    told = f'+3.0 [{3 - half:+.1f}, {3 + half:+.1f}]'
    assert f'| {told} |' in rows['| Lite0, trained on like all others']
    assert '-0.003 [' in rows['| Lite0, trained on like all others']  # 0.1 nats on 3 of 100 images
    assert '+0.0 [' in rows['| Lite0, uniformly narrower']
    assert 'not decided' in rows['| Lite0, uniformly narrower']
    assert '0.500' in rows['| **found**'] and '90.0' in rows['| **found**']
    told = told.replace(' [', ' points [')
    shown = 'That it is not worse by more than 1 point is shown: the interval lies above -1.'
    assert f'on 200 images of 2 folds: {told}. {shown}' in text
    assert '+0.0 points [-6.2, +6.2], not decided. The aim' in text
    best = next(line for line in text.splitlines() if 'best of the usual means' in line)
    assert (
        'uniformly narrower (90.0 %, at 0.50 of the MACs)' in best
        and 'The aim, 1 point and an interval above zero, is not reached' in best
    )
    # Of 100 images 87 are right in found and one random path, 3 in found alone. Each counts once,
    # with the mean of the random paths: twice as many answers are not twice as many images.
    less = np.array(2 * (87 * [50.0] + 3 * [100.0] + 10 * [0.0]))
    half = 1.959964 * less.std(ddof=1) / np.sqrt(200)
    told = f'+46.5 points [{46.5 - half:+.1f}, {46.5 + half:+.1f}]'
    assert f'Found less the mean of 2 random paths of each fold: {told}.' in text


def test_what_a_person_wrote_stays_and_other_images_are_refused(modules, records, tmp_path):
    page = modules.page.write_page(records, tmp_path)
    page.write_text(page.read_text() + '\n## What was tried\n\nA lower rate.\n')
    text = modules.page.write_page(records, tmp_path).read_text()
    assert text.endswith('\n## What was tried\n\nA lower rate.\n')
    assert text.count(modules.page.MARK) == 1
    records['clothing', 1, 'full']['images'] = 'others'
    with pytest.raises(ValueError, match='found-50 and full were tested on different images'):
        modules.page.write_page(records, tmp_path)


def test_the_next_run(modules, tmp_path, monkeypatch):
    """The search of a fold first; a run that another process has is passed over."""
    from cream_mm.engine import work_dir_lock

    photos, ran, busy = modules.photos, [], set()
    (tmp_path / 'cifar10/data').mkdir(parents=True)
    (tmp_path / 'cifar10/data/done').write_text('')
    given = [
        '--all',
        '--set',
        'cifar10',
        '--work-dir',
        str(tmp_path),
        '--records',
        str(tmp_path / 'r.jsonl'),
    ]
    runs = photos.Runs(photos.parse_args(given))

    def hold(place):
        if place.name in busy:
            raise ValueError('in use')

    def run(fold, name):
        ran.append((fold, name))
        if name == 'search':
            (tmp_path / f'cifar10/fold_{fold}').mkdir(exist_ok=True)
            (tmp_path / f'cifar10/fold_{fold}/search.done').write_text('')
        return made(name, [1, 0], [0.1, 0.2])

    monkeypatch.setattr(work_dir_lock, 'hold_work_dir', hold)
    monkeypatch.setattr(work_dir_lock, 'release_work_dir', lambda place: None)
    monkeypatch.setattr(runs, '_run', run)
    assert runs.next() and runs.next() and ran == [(0, 'search'), (0, 'teacher')]
    busy.add('full')
    assert runs.next() and ran[-1] == (0, 'found-50')
    busy.clear()
    assert runs.next() and ran[-1] == (0, 'full')
    while runs.next():
        pass
    assert sorted(ran) == sorted(photos.SETTINGS['cifar10'].runs()) and not runs.missing()
    assert len((tmp_path / 'r.jsonl').read_text().splitlines()) == len(ran) == 7


def test_each_image_is_tested_in_one_fold(modules, tmp_path):
    photos = modules.photos
    for part, count in (('train', 7), ('val', 2), ('test', 3)):
        for label in ('a', 'b'):
            (tmp_path / 'set' / part / label).mkdir(parents=True)
            for i in range(count):
                (tmp_path / 'set' / part / label / f'{i}.jpg').write_text(part + label + str(i))
    pooled = photos.pooled_images(tmp_path / 'set')
    assert len({(label, link) for label, link, _ in pooled}) == 24
    parts = photos.deal(pooled, 3)
    count = {(label, fold): 0 for label in 'ab' for fold in range(3)}
    for (label, _, _), fold in zip(pooled, parts):
        count[label, fold] += 1
    assert set(count.values()) == {4}


def test_a_record_is_one_line(modules, tmp_path):
    records = modules.photos.Records(tmp_path / 'r.jsonl', tmp_path / 'lock')
    records.add(made('full', [1], [0.1]) | dict(set='clothing', fold=0))
    with open(records.path, 'a') as file:
        file.write('{"cut off')
    records.add(made('found-50', [1], [0.1]) | dict(set='clothing', fold=0))
    lines = records.path.read_text().splitlines()
    assert [json.loads(line)['name'] for line in lines] == ['full', 'found-50']
    assert list(records.read()) == [('clothing', 0, 'full'), ('clothing', 0, 'found-50')]

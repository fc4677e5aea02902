import os
import pickle
from itertools import combinations
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from cream_mm.datasets import UnlabelledImages
from cream_mm.datasets import folder_listing as module
from cream_mm.datasets.folder_listing import find_images, list_unlabelled, num_of_all_held_out
from cream_mm.registry import DATASETS
from cream_mm.testing import write_image_folder


def write(root, *names):
    for i, name in enumerate(names):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith('.txt'):
            path.write_text('no image')
            continue
        Image.new('RGB', (40, 30), (10 * i, 50, 200)).save(path)
    return Path(root)


def make(root, **kwargs):
    return UnlabelledImages(str(root), serialize_data=False, **kwargs)


def names_of(dataset, root):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert not any('gt_label' in info for info in infos)
    return [os.path.relpath(info['img_path'], root) for info in infos]


# ---- which images --------------------------------------------------------------------------------

DEEP = ('a.jpg', 'b/c/d/e.png', 'b/f.JPG', 'g/h.webp')


def test_images_at_any_depth(tmp_path):
    root = write(tmp_path / 'set', *DEEP)
    (root / 'notes.txt').write_text('no image')
    write(root, '.hidden/x.jpg', '__MACOSX/y.jpg', 'b/._f.jpg')
    assert names_of(make(root), root) == ['a.jpg', 'b/c/d/e.png', 'b/f.JPG', 'g/h.webp']


def test_links_are_followed_once_and_not_out(tmp_path):
    root = write(tmp_path / 'set', 'a/x.jpg', 'b/y.jpg')
    write(tmp_path / 'other', 'z.jpg')
    (root / 'c').symlink_to(tmp_path / 'other')  # another folder, under its name here
    (root / 'd').symlink_to(root / 'a')  # listed already
    (root / 'e').symlink_to(tmp_path)  # above it
    assert names_of(make(root), root) == ['a/x.jpg', 'b/y.jpg', 'c/z.jpg']


SPLIT = ('annotations/x.jpg', 'train2017/1.jpg', 'unlabeled2017/2.jpg', 'val2017/3.jpg')


@pytest.mark.parametrize(
    ('names', 'taken', 'said'),
    [
        (DEEP, '.', '{} is taken with all that is in it'),
        (('train/a/1.jpg', 'val/a/2.jpg', 'more/3.jpg'), 'train',
         '{}/train is taken, more, val beside it are not (ALL)'),
        (('Training/1.jpg', 'test/2.jpg'), 'Training',
         '{}/Training is taken, test beside it is not (ALL)'),
        (SPLIT, 'train2017',
         '{}/train2017 is taken, annotations, unlabeled2017, val2017 beside it are not '
         '(ALL)'),
        (('train2014/1.jpg', 'train2017/2.jpg'), 'train2017',
         '{}/train2017 is taken, train2014 beside it is not (ALL)'),
        (('train/1.jpg', 'train2017/2.jpg'), 'train',
         '{}/train is taken, train2017 beside it is not (ALL)'),
        (('images/train/1.jpg', 'images/val/2.jpg', 'images/notes/x.txt'), 'images/train',
         '{}/images/train is taken, val beside it is not (ALL)'),
        (('train/1.jpg',), 'train', '{}/train is taken (ALL)'),
        # a class among others
        (('train/1.jpg', 'plane/2.jpg', 'car/3.jpg'), '.', '{} is taken with all that is in it'),
        (('train/1.jpg', 'plane/big/2.jpg'), '.', '{} is taken with all that is in it'),
        (('restrained/1.jpg', 'val/2.jpg'), '.', '{} is taken with all that is in it, val too'),
    ],
)  # fmt: skip
def test_a_set_that_is_split_is_taken_for_what_it_is(tmp_path, names, taken, said):
    root = write(tmp_path / 'set', *names)
    said = said.format(root).replace('ALL', "folder='.' of the data sets takes all")
    assert find_images(root) == (taken, said)
    inside = root if taken == '.' else root / taken
    kept = [n for n in names if taken == '.' or n.startswith(f'{taken}/')]
    assert len(kept) < len(names) or 'beside' not in said
    assert names_of(make(root), root) == sorted(kept, key=lambda n: n.split('/'))
    assert make(root).folder == taken and Path(make(root).data_root) == inside
    assert list_unlabelled(inside) == [os.path.relpath(root / n, inside) for n in sorted(kept)]


def test_a_folder_may_be_named(tmp_path):
    root = write(tmp_path / 'set', *SPLIT)
    assert names_of(make(root, folder='val2017'), root) == ['val2017/3.jpg']
    assert len(make(root, folder='.')) == 4
    with pytest.raises(FileNotFoundError, match='no folder .*set/val$'):
        make(root, folder='val')


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere is not there. Any folder of images'):
        make(tmp_path / 'nowhere')
    (tmp_path / 'set.zip').write_text('')
    with pytest.raises(FileNotFoundError, match='set.zip is a file, not a folder'):
        make(tmp_path / 'set.zip')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'no image below .*empty \(accepted: .*\.jpg'):
        make(tmp_path / 'empty')
    (tmp_path / 'empty' / 'deep').mkdir()
    (tmp_path / 'empty' / 'deep' / 'a.nef').write_text('')
    with pytest.raises(ValueError, match=r'no image below .*empty. It holds 1 .nef \(accepted'):
        make(tmp_path / 'empty')


def test_packed_images(tmp_path):
    from cream_mm.datasets.packed_images import write_packed

    root = tmp_path / 'packed'
    import numpy as np

    images = [np.full((4, 4, 3), i, np.uint8) for i in range(5)]
    write_packed(root, dict(ant=['0.png', '._1.png'], bee=['2.png', '3.png', '4.png']), images)
    dataset = make(root, pipeline=[dict(type='cream_mm.LoadImage')])
    assert names_of(dataset, root) == ['ant/0.png', 'bee/2.png', 'bee/3.png', 'bee/4.png']
    assert [int(dataset[i]['img'][0, 0, 0]) for i in range(4)] == [0, 2, 3, 4]
    with pytest.raises(ValueError, match='beside them folders'):
        (root / 'more').mkdir()
        make(root)


# ---- the held-out part ---------------------------------------------------------------------------


@pytest.fixture
def ten(tmp_path):
    return write(tmp_path / 'ten', *(f'{i % 3}/{i}.jpg' for i in range(10)))


@pytest.mark.parametrize(
    ('holdout', 'count'), [('auto', 1), (0.3, 3), (3, 3), (1, 1), (9, 9), (0.99, 9), (0.001, 1)]
)
def test_sides_of_the_split(ten, holdout, count):
    assert num_of_all_held_out(10, holdout) == count
    both = [set(names_of(make(ten, part=p, holdout=holdout), ten)) for p in ('train', 'holdout')]
    assert [len(side) for side in both] == [10 - count, count]
    assert both[0] | both[1] == set(names_of(make(ten), ten)) and not both[0] & both[1]


def test_another_seed_is_another_split(ten):
    sides = [set(names_of(make(ten, part='holdout', holdout=5, split_seed=s), ten)) for s in (0, 1)]
    again = set(names_of(make(ten, part='holdout', holdout=5), ten))
    assert sides[0] == again and sides[0] != sides[1]


def test_all_images_have_the_same_chance(ten):
    counts = dict.fromkeys(names_of(make(ten), ten), 0)
    for seed in range(200):
        for name in names_of(make(ten, part='holdout', holdout=3, split_seed=seed), ten):
            counts[name] += 1
    # 60 expected of each, with a standard deviation of 6.5.
    assert all(35 < count < 85 for count in counts.values())
    assert all(abs(a - b) < 50 for a, b in combinations(counts.values(), 2))


@pytest.mark.parametrize('holdout', [10, 11])
def test_not_all_are_held_out(ten, holdout):
    with pytest.raises(ValueError, match=f'10 images, of which {holdout} cannot be held out'):
        make(ten, part='train', holdout=holdout)
    assert len(make(ten, part='all', holdout=holdout)) == 10


def test_one_image_is_no_split(tmp_path):
    root = write(tmp_path / 'one', 'a.jpg')
    assert len(make(root)) == 1
    with pytest.raises(ValueError, match='1 image, of which 1 cannot be held out'):
        make(root, part='train')


@pytest.mark.parametrize('holdout', [0, -1, 1.0, 1.5, True, 'half', None, float('nan')])
def test_what_is_no_holdout(ten, holdout):
    with pytest.raises(ValueError, match='holdout is a share'):
        make(ten, holdout=holdout)


def test_what_is_no_part(ten):
    with pytest.raises(ValueError, match="part is 'all', 'train' or 'holdout'; got 'val'"):
        make(ten, part='val')


# ---- in a run ------------------------------------------------------------------------------------


def test_pipelines_of_a_search_take_it(tmp_path):
    init_default_scope('mmpretrain')
    root = write_image_folder(tmp_path / 'set', size=(40, 30))
    dataset = DATASETS.build(
        dict(
            type='cream_mm.UnlabelledImages',
            data_root=str(root),
            pipeline=[
                dict(type='cream_mm.LoadImage'),
                dict(type='cream_mm.RandomResizedCrop', scale=16),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs'),
            ],
        )
    )
    assert len(dataset) == 16  # of train, not of val
    sample = pickle.loads(pickle.dumps(dataset))[3]
    assert sample['inputs'].shape == (3, 16, 16)
    assert 'gt_label' not in sample['data_samples']


def test_a_damaged_image_is_another_one_in_training(tmp_path, monkeypatch):
    root = write(tmp_path / 'set', 'a.jpg', 'b.jpg')
    (root / 'a.jpg').write_bytes((root / 'a.jpg').read_bytes()[:200])
    dataset = make(root, pipeline=[dict(type='cream_mm.LoadImage')])
    assert {dataset[0]['img_path'] for _ in range(5)} == {str(root / 'b.jpg')}


def test_what_is_passed_over_is_said(tmp_path, monkeypatch):
    root = write(tmp_path / 'set', 'a.jpg')
    (root / 'b.nef').write_text('')
    said = []
    monkeypatch.setattr(module, '_report', said.append)
    assert list_unlabelled(root) == ['a.jpg']
    assert len(said) == 1 and said[0].startswith('passed over 1 file below')

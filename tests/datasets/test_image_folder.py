import os

import pytest
from PIL import Image

from cream_mm.datasets import ImageFolder
from cream_mm.datasets import folder_listing as module
from cream_mm.datasets.folder_listing import holdout_share, list_classes, list_images
from cream_mm.registry import DATASETS
from cream_mm.testing import write_image_folder


def make(root, **kwargs):
    # Serialising collects garbage, a quarter of a second each time.
    return ImageFolder(str(root), serialize_data=False, **kwargs)


def paths_of(dataset):
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def labels_of(dataset):
    return [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]


@pytest.fixture
def root(tmp_path):
    return write_image_folder(tmp_path / 'set', classes=('cat', 'ant', 'bee'), train=10, val=3)


def test_images_and_labels(root):
    train = make(root)
    assert train.CLASSES == ('ant', 'bee', 'cat')
    assert paths_of(train) == [
        str(root / 'train' / name / f'{i:03d}.jpg') for name in train.CLASSES for i in range(10)
    ]
    assert labels_of(train) == [0] * 10 + [1] * 10 + [2] * 10
    val = make(root, folder='val')
    assert labels_of(val) == [0] * 3 + [1] * 3 + [2] * 3
    assert all('/val/' in path for path in paths_of(val))


def test_pipeline_gives_the_image_of_the_class(root):
    config = dict(
        type='cream_mm.ImageFolder', data_root=str(root), folder='val',
        pipeline=[dict(type='cream_mm.LoadImage')],
    )  # fmt: skip
    dataset = DATASETS.build(config)
    for i, label in enumerate(labels_of(dataset)):
        image = dataset[i]['img']
        assert image.shape == (20, 24, 3)
        # The class's own channel is the strongest; OpenCV's order is BGR. Names were sorted.
        written = {'cat': 0, 'ant': 1, 'bee': 2}[dataset.CLASSES[label]]
        assert image.mean((0, 1)).argmax() == 2 - written


# --- the held-out part ---


@pytest.mark.parametrize(('holdout', 'per_class'), [(0.02, 1), (0.3, 3), (0.5, 5), (0.99, 9)])
def test_holdout_is_disjoint_and_complete(root, holdout, per_class):
    parts = {part: make(root, part=part, holdout=holdout) for part in ('all', 'train', 'holdout')}
    everything, kept, held = (set(paths_of(parts[p])) for p in ('all', 'train', 'holdout'))
    assert not kept & held and kept | held == everything
    assert len(everything) == 30
    assert labels_of(parts['holdout']) == [label for label in (0, 1, 2) for _ in range(per_class)]
    for part in parts.values():
        for path, label in zip(paths_of(part), labels_of(part), strict=True):
            assert f'/{part.CLASSES[label]}/' in path


@pytest.mark.parametrize(
    ('images', 'held'),
    [
        (100, 10),
        (3068, 307),
        (5000, 500),
        (6000, 500),
        (25_000, 500),
        (25_050, 501),
        (10**6, 20_000),
    ],
)
def test_share_that_is_held_out(images, held):
    assert round(images * holdout_share(images)) == held


def test_the_share_follows_the_size_of_the_whole_folder(tmp_path):
    root = write_image_folder(tmp_path, classes=('ant', 'bee'), train=30, val=1, size=(2, 2))
    auto, tenth = (paths_of(make(root, part='holdout', holdout=h)) for h in ('auto', 0.1))
    assert auto == tenth and len(auto) == 6
    assert len(make(root, part='train', holdout='auto')) == 54
    # What was held out under a smaller share still is.
    assert set(paths_of(make(root, part='holdout'))) < set(auto)


def test_holdout_is_deterministic(root):
    def held(**kwargs):
        return paths_of(make(root, part='holdout', holdout=0.3, **kwargs))

    assert held() == held()
    assert held() != held(split_seed=1)
    numbers = {name: [p[-7:] for p in held() if f'/{name}/' in p] for name in ('ant', 'bee', 'cat')}
    assert len({tuple(n) for n in numbers.values()}) > 1  # each class draws its own


def test_holdout_does_not_depend_on_other_classes_sizes(root):
    before = paths_of(make(root, part='holdout', holdout=0.3))
    (root / 'train' / 'ant' / '000.jpg').unlink()
    after = paths_of(make(root, part='holdout', holdout=0.3))
    assert [p for p in before if '/ant/' not in p] == [p for p in after if '/ant/' not in p]


@pytest.mark.parametrize(('count', 'held', 'kept'), [(1, 0, 1), (2, 1, 1), (3, 1, 2)])
def test_tiny_classes_can_always_be_trained_on(tmp_path, count, held, kept):
    root = write_image_folder(tmp_path, classes=('a', 'b'), train=4)
    for i in range(count, 4):
        (root / 'train' / 'b' / f'{i:03d}.jpg').unlink()
    labels = {part: labels_of(make(root, part=part, holdout=0.4)) for part in ('train', 'holdout')}
    assert labels['holdout'].count(1) == held and labels['train'].count(1) == kept


# --- irregular folders ---


def test_val_with_fewer_classes_keeps_the_labels(root):
    for path in (root / 'val' / 'bee').iterdir():
        path.unlink()
    (root / 'val' / 'bee').rmdir()
    val = make(root, folder='val')
    assert val.CLASSES == ('ant', 'bee', 'cat')
    assert labels_of(val) == [0] * 3 + [2] * 3


def test_val_with_an_unknown_class(root):
    (root / 'val' / 'dog').mkdir()
    with pytest.raises(ValueError, match='val has classes that .*train has not: dog'):
        make(root, folder='val')


def test_an_empty_training_class_is_named(root):
    (root / 'train' / 'dog').mkdir()
    (root / 'train' / 'dog' / 'notes.txt').write_text('no image')
    with pytest.raises(ValueError, match=r'no image in .*train/dog; .*\.jpg') as error:
        make(root)
    assert 'ant' not in str(error.value).split(';')[0]


def test_an_empty_validation_class_is_fine(root):
    (root / 'train' / 'dog').mkdir()
    Image.new('RGB', (4, 4)).save(root / 'train' / 'dog' / 'a.png')
    (root / 'val' / 'dog').mkdir()
    assert labels_of(make(root, folder='val')) == [0] * 3 + [1] * 3 + [2] * 3


def test_no_image_at_all(root):
    for path in root.glob('val/*/*.jpg'):
        path.unlink()
    with pytest.raises(ValueError, match="no image for part 'all' below .*val"):
        make(root, folder='val')


@pytest.mark.parametrize('folder', ['train', 'val'])
def test_a_missing_folder_shows_the_layout(root, folder):
    (root / folder).rename(root / 'elsewhere')
    with pytest.raises(FileNotFoundError) as error:
        make(root, folder='val')
    message = str(error.value)
    assert f'below {root / folder}, found no such folder' in message
    assert f'{root}/train/<class>/*.jpg' in message and f'{root}/val/<class>/*.jpg' in message
    assert 'data_root=FOLDER' in message


def test_images_without_class_folders(tmp_path):
    (tmp_path / 'train').mkdir()
    Image.new('RGB', (4, 4)).save(tmp_path / 'train' / 'a.jpg')
    with pytest.raises(FileNotFoundError, match='one folder per class .*found none'):
        list_classes(tmp_path)


def test_subfolders_and_other_extensions(root):
    deep = root / 'val' / 'ant' / 'x' / 'y'
    deep.mkdir(parents=True)
    for name in ('a.PNG', 'b.jpeg', 'c.webp', 'd.txt', 'e'):
        (deep / name).write_bytes(b'')
    names = [path.rsplit('/', 1)[1] for path in paths_of(make(root, folder='val'))]
    assert names[:6] == ['000.jpg', '001.jpg', '002.jpg', 'a.PNG', 'b.jpeg', 'c.webp']
    assert len(names) == 12


# ---- links and special files -------------------------------------------------------------------


@pytest.fixture
def lines(monkeypatch):
    """What is reported, once for each text."""
    found = []
    monkeypatch.setattr(module, '_report', found.append)
    return found


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'')
    return path


def test_links_to_images_and_folders_are_followed(tmp_path, lines):
    touch(tmp_path / 'else/where/deep/2.jpg')
    touch(tmp_path / 'else/photo')
    folder = tmp_path / 'set/train/ant'
    touch(folder / '1.jpg')
    (folder / 'more').symlink_to(tmp_path / 'else/where')
    (folder / '0.jpg').symlink_to('../../../else/photo')
    assert list_images(folder) == ['0.jpg', '1.jpg', 'more/deep/2.jpg']
    (tmp_path / 'set/train/bee').symlink_to('ant')  # a class folder, too
    assert list_classes(tmp_path / 'set') == ['ant', 'bee']
    assert list_images(tmp_path / 'set/train/bee') == list_images(folder)
    assert lines == []


def test_a_class_whose_images_lie_in_a_linked_folder(root, tmp_path):
    (root / 'train/bee').rename(tmp_path / 'elsewhere')
    (root / 'train/bee').mkdir()
    (root / 'train/bee/images').symlink_to(tmp_path / 'elsewhere')
    dataset = make(root, pipeline=[dict(type='cream_mm.LoadImage')])
    assert labels_of(dataset) == [0] * 10 + [1] * 10 + [2] * 10
    assert paths_of(dataset)[10] == str(root / 'train/bee/images/000.jpg')
    assert dataset[10]['img'].shape == (20, 24, 3)


def test_the_order_is_that_of_paths(tmp_path):
    names = ['a b.PNG', 'a/z.jpg', 'a.jpg', 'Z.webp', 'a/b/c.jpg', 'a-1/x.jpg']
    for name in names:
        touch(tmp_path / name)
    found = list_images(tmp_path)
    assert found == [str(p.relative_to(tmp_path)) for p in sorted(tmp_path / n for n in names)]


@pytest.mark.parametrize('target', ['.', '..', '../..', '/', 'sub'])
def test_links_in_a_circle_end_with_a_line(tmp_path, lines, target):
    folder = tmp_path / 'train/ant'
    for name in ('train/ant/1.jpg', 'train/ant/sub/2.jpg', 'train/bee/3.jpg'):
        touch(tmp_path / name)
    (folder / 'again').symlink_to(target)
    (folder / 'sub/back').symlink_to('..')
    assert list_images(folder) == ['1.jpg', 'sub/2.jpg']  # none of a bee
    assert len(lines) == 2 and all('passed over' in line for line in lines)
    assert str(folder / 'again') in lines[0] and str(folder / 'sub/back') in lines[1]


def test_a_folder_that_many_links_lead_to_is_listed_once(tmp_path, lines):
    """30 folders of two links each to the next one: 2**30 names without that."""
    for i in range(30):
        (tmp_path / 'else' / str(i)).mkdir(parents=True)
        for name in 'ab':
            (tmp_path / 'else' / str(i) / name).symlink_to(f'../{i + 1}')
    touch(tmp_path / 'else/30/1.jpg')
    (tmp_path / 'ant').mkdir()
    (tmp_path / 'ant/way').symlink_to('../else/0')
    assert list_images(tmp_path / 'ant') == ['way/' + 30 * 'a/' + '1.jpg']
    assert len(lines) == 30


def test_special_files_are_passed_over(tmp_path, lines):
    touch(tmp_path / '1.jpg')
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.png').symlink_to('/dev/zero')
    (tmp_path / 'folder.jpg').mkdir()
    touch(tmp_path / 'folder.jpg/2.jpg')
    (tmp_path / 'broken.jpg').symlink_to('nowhere')
    (tmp_path / 'self.jpg').symlink_to('self.jpg')
    os.mkfifo(tmp_path / 'notes.txt')
    # What is missing counts as an image that cannot be read: it is reported then, and it counts.
    assert list_images(tmp_path) == ['1.jpg', 'broken.jpg', 'folder.jpg/2.jpg', 'self.jpg']
    assert sorted(lines) == [
        f'passed over {tmp_path}/{name}: it is not a regular file'
        for name in ('pipe.jpg', 'zero.png')
    ]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path / 'ant/sub/1.jpg')
    whole = os.scandir

    def refuse(path):
        if str(path).endswith('sub'):
            raise PermissionError(13, 'Permission denied', path)
        return whole(path)

    monkeypatch.setattr(os, 'scandir', refuse)  # root may read everything
    with pytest.raises(OSError, match='cannot list .*ant/sub: Permission denied'):
        list_images(tmp_path / 'ant')


def test_no_such_folder_has_no_images(tmp_path):
    assert list_images(tmp_path / 'gone') == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(part='test'), "part is 'all', 'train' or 'holdout'; got 'test'"),
        (dict(holdout=0), "holdout is a share between 0 and 1, or 'auto'; got 0"),
        (dict(holdout=20), "holdout is a share between 0 and 1, or 'auto'; got 20"),
        (dict(holdout='some'), "holdout is a share between 0 and 1, or 'auto'; got 'some'"),
    ],
)
def test_wrong_arguments(root, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(root, **wrong)


# --- folds ---


def test_folds_hold_out_every_image_once(root):
    whole, held = paths_of(make(root)), []
    for fold in range(4):
        part, rest = (make(root, part=p, folds=4, fold=fold) for p in ('holdout', 'train'))
        assert not set(paths_of(part)) & set(paths_of(rest))
        assert set(paths_of(part)) | set(paths_of(rest)) == set(whole)
        counts = [labels_of(part).count(label) for label in range(3)]
        assert set(counts) <= {2, 3} and sum(counts) in (7, 8)  # of 10 of each class, 30 in all
        assert part.holdout == f'fold {fold} of 4, seed 0'
        held += paths_of(part)
    assert sorted(held) == sorted(whole)
    assert paths_of(make(root, part='holdout', folds=4, fold=0, split_seed=1)) != held[:8]


def test_more_folds_than_images(root):
    with pytest.raises(ValueError, match="no image for part 'holdout'"):
        make(root, part='holdout', folds=31, fold=30)
    with pytest.raises(ValueError, match='folds is 2 or more'):
        make(root, part='holdout', folds=4)

"""A config and the folders that people have: what is found, mended, said and refused."""

import os
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from cream_mm.config import folder_data as module
from cream_mm.config.folder_data import look_before_training, names_of_places_as_text
from cream_mm.config.load import check_early, load_config
from cream_mm.datasets import ImageFolder
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).parents[2]
SEARCH = str(ROOT / 'configs/cream/search_imagenet.py')
SPOS = str(ROOT / 'configs/spos/search_imagenet.py')
RETRAIN = str(ROOT / 'configs/cream/retrain_imagenet.py')
CLASSES = ('ant', 'bee', 'cat')


@pytest.fixture
def root(tmp_path):
    return write_image_folder(tmp_path / 'set', classes=CLASSES, train=10, val=2, size=(8, 8))


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(module, 'say_early', lambda text, *_: found.append(text))
    return found


def load(path, root, **options):
    return load_config(path, dict(data_root=str(root), batch_size=4, **options))


def folders(cfg, key='folder', default='train'):
    return [cfg[f'{s}_dataloader'].dataset.get(key, default) for s in ('train', 'val', 'test')]


def images(cfg):
    """The paths that each side reads."""
    found = []
    for side in ('train', 'val', 'test'):
        args = dict(cfg[f'{side}_dataloader'].dataset, serialize_data=False, pipeline=[])
        args.pop('type')
        dataset = ImageFolder(**args)
        found.append({dataset.get_data_info(i)['img_path'] for i in range(len(dataset))})
    return found


# ---- other names -------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['validation', 'valid', 'Val', 'eval', 'dev'])
@pytest.mark.parametrize('path', [SEARCH, SPOS, RETRAIN])
def test_a_validation_folder_of_another_name(root, lines, path, name):
    (root / 'val').rename(root / name)
    cfg = load(path, root)
    assert folders(cfg) == ['train', name, name if path == RETRAIN else 'train']
    assert [f'{root}/{name} is taken for val, which is not there'] == [
        line for line in lines if 'taken' in line
    ]
    assert len(images(cfg)[1]) == 6


def test_the_test_set_in_its_place_is_told_what_it_is_used_for(root, lines):
    (root / 'val').rename(root / 'test')
    assert folders(load(RETRAIN, root)) == ['train', 'test', 'test']
    assert lines[0].endswith('A retraining keeps the checkpoint that is best on it: no test of '
                             'that one')  # fmt: skip
    (root / 'test').rename(root / 'valid')
    write_image_folder(root / 'x', classes=CLASSES, train=1, val=1)
    (root / 'x/val').rename(root / 'Test')
    assert folders(load(RETRAIN, root)) == ['train', 'valid', 'valid']
    assert lines[-2].endswith('set/valid is taken for val, which is not there (Test is not used)')


@pytest.mark.parametrize('name', ['training', 'Train'])
def test_a_training_folder_of_another_name(root, lines, name):
    (root / 'train').rename(root / name)
    cfg = load(SEARCH, root)
    assert folders(cfg) == [name, 'val', name]
    assert cfg.test_cfg.bn_dataset.folder == cfg.custom_hooks[1].dataset.folder == name
    trained, validated, held = images(cfg)
    assert len(trained) == 27 and len(held) == 3 and not trained & held and len(validated) == 6
    assert f'{root}/{name} is taken for train, which is not there' in lines


def test_folders_of_any_name(root):
    (root / 'train').rename(root / 'mine')
    (root / 'val').rename(root / 'yours')
    shutil.rmtree(root / 'yours/ant')
    options = {'train_dataloader.dataset.folder': 'mine', 'val_dataloader.dataset.folder': 'yours'}
    cfg = load(RETRAIN, root, **options)
    assert folders(cfg) == ['mine', 'yours', 'yours'] and cfg.num_classes == 3
    assert ImageFolder(str(root), folder='yours', metainfo=cfg.val_dataloader.dataset.metainfo,
                       serialize_data=False).get_data_info(0)['gt_label'] == 1  # fmt: skip


def test_labels_are_those_of_the_training_folder_wherever_validation_is(root, tmp_path):
    """Of another data_root, which has a training folder of its own, with other classes."""
    write_image_folder(tmp_path / 'b', classes=('aaa', 'bee', 'cat'), train=2, val=1)
    shutil.rmtree(tmp_path / 'b/val/aaa')
    cfg = load(RETRAIN, root, **{'val_dataloader.dataset.data_root': str(tmp_path / 'b')})
    dataset = dict(cfg.val_dataloader.dataset, serialize_data=False, pipeline=[])
    dataset.pop('type')
    dataset = ImageFolder(**dataset)
    assert [dataset.get_data_info(i)['gt_label'] for i in range(2)] == [1, 2]


def test_an_export_of_other_classes_takes_those_of_the_data(root):
    named = dict(classes=('x', 'y'))
    options = {f'{side}_dataloader.dataset.metainfo': named for side in ('train', 'val', 'test')}
    cfg = load(RETRAIN, root, **options)
    assert cfg.classes == CLASSES and cfg.num_classes == 3
    assert all(c.classes == CLASSES for c in folders(cfg, 'metainfo'))
    # The same classes in another order are meant so.
    named['classes'] = ('cat', 'ant', 'bee')
    assert load(RETRAIN, root, **options).classes == named['classes']


# ---- no folder to validate on ------------------------------------------------------------------


@pytest.mark.parametrize('path', [SEARCH, SPOS, RETRAIN])
def test_a_part_is_held_out_for_it(root, lines, path):
    shutil.rmtree(root / 'val')
    cfg = load(path, root)
    assert folders(cfg) == ['train'] * 3
    assert folders(cfg, 'part', 'all') == ['train', 'holdout', 'holdout']
    trained, validated, tested = images(cfg)
    assert len(trained) == 27 and len(validated) == 3 and not trained & validated
    assert tested == validated
    assert {Path(p).parent.name for p in validated} == set(CLASSES)
    line = next(line for line in lines if 'held out' in line)
    assert line.startswith(f'{root} has no folder val (nor valid, validation, ...): 3 of the 30 ')
    assert f'{root}/val/<class>' in line


@pytest.mark.parametrize('path', [SEARCH, RETRAIN])
def test_class_folders_in_data_root_are_split_as_those_of_train(root, lines, path, tmp_path):
    shutil.rmtree(root / 'val')
    split = [
        {os.path.relpath(p, root / 'train') for p in side} for side in images(load(path, root))
    ]
    flat = (root / 'train').rename(tmp_path / 'flat')
    del lines[:]
    cfg = load(path, flat)
    assert folders(cfg) == ['.'] * 3
    assert [{os.path.relpath(p, flat) for p in side} for side in images(cfg)] == split
    assert cfg.classes == CLASSES
    text = '\n'.join(lines)
    assert f'{flat} holds class folders itself: all of them are trained on' in text
    assert f'3 of the 30 images of {flat} are held out' in text
    assert f'python tools/check_data.py {flat} --split 0.1 --apply copy' in text
    (flat / 'ant/000.jpg').write_bytes(b'\xff\xd8\xff cut')
    look_before_training(cfg)
    assert '1 of 30 images cannot be read whole' in lines[-1] and f'{flat}/ant/000.jpg' in lines[-1]


def test_the_share_of_the_search_is_kept(root):
    shutil.rmtree(root / 'val')
    cfg = load(SEARCH, root, holdout=0.3)
    trained, validated, tested = images(cfg)
    assert len(trained) == 21 and validated == tested and len(tested) == 9


def test_an_export_holds_out_what_its_search_did(root):
    """Its weights were trained on the others."""
    shutil.rmtree(root / 'val')
    split = dict(holdout=0.3, split_seed=4)
    cfg = load(RETRAIN, root, **{f'train_dataloader.dataset.{k}': v for k, v in split.items()})
    trained, validated, tested = images(cfg)
    held = ImageFolder(data_root=str(root), part='holdout', pipeline=[], **split)
    held = {held.get_data_info(i)['img_path'] for i in range(len(held))}
    assert validated == tested == held and len(held) == 9 and len(trained - held) == 21


def test_none_can_be_held_out(tmp_path):
    root = write_image_folder(tmp_path, classes=CLASSES, train=1, val=1)
    shutil.rmtree(root / 'val')
    for path in (SEARCH, RETRAIN):
        with pytest.raises(FileNotFoundError, match='No class of train has two images') as error:
            load(path, root)
        assert f'below {root}/val, found no such folder' in str(error.value)


def test_a_folder_that_was_named_and_is_not_there(root):
    with pytest.raises(FileNotFoundError, match='below .*/mine, found no such folder'):
        load(RETRAIN, root, **{'val_dataloader.dataset.folder': 'mine'})


def test_validation_on_what_is_trained_on_is_told(root, lines):
    load(RETRAIN, root, **{'val_dataloader.dataset.folder': 'train'})
    assert f'val_dataloader reads {root}/train, which is trained on' in lines[0]
    lines.clear()
    load(SEARCH, root)
    assert lines == []


# ---- classes -----------------------------------------------------------------------------------


def test_one_class(tmp_path):
    root = write_image_folder(tmp_path / 'a', classes=('ant',), train=4, val=2)
    with pytest.raises(ValueError, match='a single class, ant: there is nothing to tell apart'):
        load(SEARCH, root)
    write_image_folder(tmp_path / 'b/train', classes=CLASSES, train=4, val=2)
    shutil.rmtree(tmp_path / 'b/train/val')
    (tmp_path / 'b/train/train').rename(tmp_path / 'b/train/photos')
    with pytest.raises(ValueError, match='If the classes are ant, bee, cat, which lie in it, move'):
        load(RETRAIN, tmp_path / 'b')


def test_classes_of_the_validation(root, lines):
    shutil.rmtree(root / 'val/ant')
    assert load(SEARCH, root).num_classes == 3
    (root / 'val/bee').rename(root / 'val/Bee')
    with pytest.raises(ValueError, match=r"val has classes that .*'Bee' \(in .*train: 'bee'\)"):
        load(SEARCH, root)
    (root / 'val/Bee').rename(root / 'val/dog')
    with pytest.raises(ValueError, match='val has classes that .*train has not: dog'):
        load(RETRAIN, root)


def test_an_empty_class(root):
    (root / 'train/dog').mkdir()
    for path in (SEARCH, RETRAIN):
        with pytest.raises(ValueError, match='no image in .*/train/dog; remove the folder or fill'):
            load(path, root)


def test_classes_that_differ_in_case_are_told(root, lines):
    (root / 'train/bee').rename(root / 'train/ANT')
    (root / 'val/bee').rename(root / 'val/ANT')
    assert load(SEARCH, root).classes == ('ANT', 'ant', 'cat')
    assert "forms (case, blanks or accents): 'ANT', 'ant'. They stay different" in lines[0]


def test_a_class_with_one_image_is_trained_on(root, lines):
    for path in sorted((root / 'train/bee').iterdir())[1:]:
        path.unlink()
    trained, _, held = images(load(SEARCH, root))
    assert len(trained) == 19 and {Path(p).parent.name for p in held} == {'ant', 'cat'}
    assert '1 class of ' in lines[0] and 'trained on and never held out: bee' in lines[0]
    for name in ('ant', 'cat'):
        for path in sorted((root / 'train' / name).iterdir())[1:]:
            path.unlink()
    with pytest.raises(ValueError, match='no class of .*/train has two images'):
        load(SEARCH, root)
    load(RETRAIN, root)  # holds nothing out


# ---- top-k -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('topk', 'kept', 'line'),
    [
        ((1, 5), (1,), 'top-5'), (5, (1,), 'top-5'), ((1, 3), (1, 3), None),
        ((2, 4, 7), (2,), 'top-4, top-7'),
    ],
)  # fmt: skip
def test_top_k_of_few_classes(root, lines, topk, kept, line):
    options = {'val_evaluator.topk': topk, 'default_hooks.checkpoint.save_best': 'accuracy/top5'}
    cfg = load(RETRAIN, root, **options)
    assert cfg.val_evaluator.topk == cfg.test_evaluator.topk == kept
    assert [t for t in lines if 'top-' in t] == (
        [f'{line} is left out: the data has 3 classes'] if line else []
    )
    best = cfg.default_hooks.checkpoint.save_best
    assert best == ('accuracy/top1' if '5' in str(line) else 'accuracy/top5')


def test_top_k_in_a_list_of_metrics(root):
    metrics = [dict(type='mmpretrain.Accuracy', topk=(1, 5)), dict(type='SingleLabelMetric')]
    cfg = load(RETRAIN, root, val_evaluator=metrics)
    assert cfg.val_evaluator[0].topk == (1,) and 'topk' not in cfg.val_evaluator[1]


# ---- how many images ---------------------------------------------------------------------------


@pytest.mark.parametrize(('path', 'number'), [(SEARCH, 27), (RETRAIN, 30)])
def test_a_batch_larger_than_the_set_becomes_the_set(root, lines, path, number):
    cfg = load_config(path, dict(data_root=str(root)))
    assert cfg.train_dataloader.batch_size == cfg.batch_size == number
    assert f'batch_size=128 is more than the {number} images' in ''.join(lines)
    cfg = load_config(path, dict(data_root=str(root), batch_size=number))
    assert cfg.batch_size == number and sum('more than' in line for line in lines) == 1


def test_a_repeated_set_keeps_its_batch(root):
    dataset = dict(type='ImageFolder', data_root=str(root))
    path = root / 'mine.py'
    for wrapped, size in ((dict(type='RepeatDataset', times=9, dataset=dataset), 128),
                          (dict(dataset, indices=7), 128), (dataset, 30)):  # fmt: skip
        path.write_text(f'train_dataloader = dict(batch_size=128, dataset={wrapped!r})')
        assert load_config(str(path)).train_dataloader.batch_size == size


def test_each_process_has_its_share(root, lines, monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '4')
    assert load_config(RETRAIN, dict(data_root=str(root), batch_size=9)).batch_size == 8
    assert 'the 8 images that are trained on by each process' in lines[0]
    monkeypatch.setenv('WORLD_SIZE', '30')
    with pytest.raises(ValueError, match='30 images to train on, of which each process gets 1'):
        load(RETRAIN, root)


def test_one_image_at_a_time_where_maps_are_down_to_a_pixel(root):
    options = dict(data_root=str(root), batch_size=1)
    with pytest.raises(ValueError, match='batch_size=1 with input_size=32: the last maps have a'):
        load_config(SPOS, dict(options, input_size=32))
    assert load_config(SPOS, dict(options, input_size=64)).batch_size == 1


def test_small_batches_are_told(root, lines):
    for size in (8, 7):
        look_before_training(load_config(RETRAIN, dict(data_root=str(root), batch_size=size)))
    assert [line.split(':')[0] for line in lines if 'batch norm' in line] == ['batch_size=7']


# ---- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'name',
    ['2024', '007', '1e3', 'my data', 'Käfer', '🐜 set', 'it\'s "1"', 'a,b [c] (d)', '{{ x }}'],
)
def test_any_name_of_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_image_folder(name, classes=(name, 'bee'), train=4, val=1, size=(8, 8))
    cfg = load(SEARCH, name)
    assert cfg.classes == tuple(sorted([name, 'bee']))
    (tmp_path / 'dump.py').write_text(f'_base_ = {SEARCH!r}\ndata_root = {name!r}\n')
    assert load_config('dump.py').train_dataloader.dataset.data_root == name


def test_numbers_that_name_folders_are_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image_folder('2024', train=4, val=1)
    cfg = load_config(SEARCH, dict(data_root=2024, work_dir=7))
    assert cfg.data_root == cfg.val_dataloader.dataset.data_root == '2024' and cfg.work_dir == '7'
    (tmp_path / 'mine.py').write_text(f'_base_ = {RETRAIN!r}\ndata_root = 2024\n')
    assert load_config('mine.py').train_dataloader.dataset.data_root == '2024'
    content = {'a': [dict(folder=3, other=3)], 'b.data_root': Path('x/y'), 'data_root': True}
    names_of_places_as_text(content)
    assert content == {'a': [dict(folder='3', other=3)], 'b.data_root': 'x/y', 'data_root': True}


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    content = dict(data_root='~/set')
    names_of_places_as_text(content)
    assert content['data_root'] == f'{tmp_path}/set'


# ---- the files ---------------------------------------------------------------------------------


def look(root, **kwargs):
    cfg = load(RETRAIN, root, **{'train_dataloader.batch_size': 8})
    look_before_training(cfg, **kwargs)


def test_a_sound_folder_has_nothing_to_say(root, lines):
    look(root)
    assert [line for line in lines if 'top-5' not in line] == []


def test_what_is_found_is_said(root, lines):
    shutil.copy(root / 'train/ant/000.jpg', root / 'train/bee/x.jpg')
    shutil.copy(root / 'train/cat/001.jpg', root / 'val/cat/y.jpg')
    shutil.copy(root / 'train/cat/002.jpg', root / 'train/cat/z.jpg')
    (root / 'train/ant/004.jpg').write_bytes(b'')
    path = root / 'val/ant/001.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    look(root)
    damaged, labels, splits, within = lines[-4:]
    assert damaged.startswith('2 of 39 images cannot be read whole.')
    assert f'{root}/train/ant/004.jpg (the file is empty)' in damaged and str(path) in damaged
    assert labels.startswith('WRONG LABELS: 1 picture with the same bytes in two classes')
    assert f'{root}/train/ant/000.jpg and {root}/train/bee/x.jpg' in labels
    assert f'{root}/train/cat/001.jpg and {root}/val/cat/y.jpg' in splits
    assert 'to train on and to validate on' in splits
    assert within.startswith('1 picture twice in one class') and 'z.jpg' in within


def test_a_class_of_which_no_image_can_be_read(root):
    for path in (root / 'train/bee').iterdir():
        path.write_bytes(b'x')
    with pytest.raises(ValueError, match='no image of train/bee can be read'):
        look(root)


def test_more_images_than_are_looked_at(root, lines):
    (root / 'train/ant/004.jpg').write_bytes(b'')
    look(root, max_images=35)
    assert lines[-1].startswith(
        '36 images: damaged and repeated ones are not looked for among more'
    )


def test_the_first_rank_looks(root, lines, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    (root / 'train/ant/004.jpg').write_bytes(b'')
    look(root)
    assert [line for line in lines if 'top-5' not in line] == []


def test_other_data_is_left_alone():
    look_before_training(Config(dict(train_dataloader=dict(batch_size=2, dataset=dict(type='X')))))


def test_it_reads_images_of_the_kinds_that_lie_in_folders(root, lines):
    picture = Image.open(root / 'train/ant/000.jpg')
    for name, kind in (('a.gif', 'GIF'), ('b.jpg', 'WEBP'), ('c.jfif', 'JPEG'), ('d.avif', 'AVIF')):
        picture.save(root / 'train/bee' / name, kind, quality=30 + ord(name[0]) % 40)
    look(root)
    assert os.listdir(root / 'train/bee') and 'cannot be read' not in ''.join(lines)


# ---- images without labels ---------------------------------------------------------------------

UNLABELLED = """
default_scope = 'mmpretrain'
data_root = 'data/photographs'
folder = None
batch_size = 4
holdout = 'auto'
train_set = dict(
    type='cream_mm.UnlabelledImages', data_root=data_root, folder=folder, part='train',
    holdout=holdout, pipeline=[])
train_dataloader = dict(batch_size=batch_size, num_workers=0, dataset=train_set)
test_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(train_set, part='holdout'))
"""


@pytest.fixture
def unlabelled(tmp_path):
    path = tmp_path / 'unlabelled.py'
    path.write_text(UNLABELLED)
    return str(path)


def test_images_without_labels(unlabelled, root, lines):
    cfg = load(unlabelled, root)
    assert lines == [
        f"{root}/train is taken, val beside it is not (folder='.' of the data sets takes all): 30 "
        'images without labels, 3 of them held out'
    ]
    sets = [cfg.train_dataloader.dataset, cfg.test_dataloader.dataset]
    assert [d.folder for d in sets] == ['train', 'train'] and 'classes' not in cfg
    assert {d.data_root for d in sets} == {str(root)}


def test_all_of_them_by_one_option(unlabelled, root, lines):
    cfg = load(unlabelled, root, folder='.', holdout=12)
    assert lines == [f'{root} is taken: 36 images without labels, 12 of them held out']
    assert cfg.test_dataloader.dataset.folder == '.'


def test_class_folders_without_a_split_are_depth(unlabelled, root, lines):
    load(unlabelled, root / 'train', holdout=0.5)
    assert lines == [
        f'{root}/train is taken with all that is in it: 30 images without labels, 15 of them '
        'held out'
    ]


@pytest.mark.parametrize(
    ('make', 'said'),
    [
        (lambda root: root / 'nowhere', 'data_root=.*nowhere is not there. Any folder of images'),
        (lambda root: root / 'train/ant/000.jpg', '000.jpg is a file, not a folder'),
        (lambda root: (root / 'new').mkdir() or root / 'new', 'no image below .*new'),
    ],
)
def test_no_images_is_one_line(unlabelled, root, make, said):
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        load(unlabelled, make(root))


def test_no_folder_of_images_is_told_early(unlabelled, root):
    options = dict(data_root=str(root / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='is not there. Any folder'):
        check_early(unlabelled, options)
    with pytest.raises(FileNotFoundError, match='is not there. Any folder'):
        check_early(unlabelled, dict(options, folder='train'))


def test_a_batch_of_all_images_without_labels(unlabelled, root, lines):
    cfg = load_config(unlabelled, dict(data_root=str(root), batch_size=64))
    assert cfg.train_dataloader.batch_size == 27
    assert 'batch_size=64 is more than the 27 images that are trained on' in lines[1]
    with pytest.raises(ValueError, match='1 image to train on'):
        load(unlabelled, root, holdout=29)
    with pytest.raises(ValueError, match='30 images, of which 30 cannot be held out'):
        load(unlabelled, root, holdout=30)


def test_images_without_labels_are_not_rated_on_and_trained_on(unlabelled, root):
    with pytest.raises(ValueError, match='would be trained on and rated on'):
        load(unlabelled, root, **{'test_dataloader.dataset.holdout': 0.5})


def test_a_number_of_images_is_no_share_of_a_class(root):
    with pytest.raises(ValueError, match='holdout of ImageFolder is a share between .*: 5'):
        load(SPOS, root, holdout=5)


def test_damaged_images_without_labels_are_said(unlabelled, root, lines):
    cfg = load(unlabelled, root)
    lines.clear()
    look_before_training(cfg)
    assert len(lines) == 1 and lines[0].startswith('batch_size=4: batch norm')
    lines.clear()
    path = root / 'train/ant/000.jpg'
    path.write_bytes(path.read_bytes()[:-20])
    shutil.copy(root / 'train/bee/000.jpg', root / 'train/cat/copy.jpg')
    look_before_training(cfg)
    assert lines[1].startswith('1 of 31 images cannot be read whole')
    assert lines[2].startswith('1 picture twice: ') and 'One of them may be held out' in lines[2]
    assert len(lines) == 3
    for path in root.glob('train/*/*.jpg'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='no image of train can be read'):
        look_before_training(cfg)

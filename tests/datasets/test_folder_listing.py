"""Folders as people have them: what is a split, a class, an image, and what is said of the rest."""

import os
import unicodedata

import pytest
from PIL import Image
from test_system_entries import LEFT

from cream_mm.datasets import ImageFolder
from cream_mm.datasets import folder_listing as module
from cream_mm.datasets.folder_listing import (
    check_classes,
    find_folder,
    list_classes,
    list_folder,
    list_images,
    same_but_for_case,
)
from cream_mm.datasets.packed_images import is_packed
from cream_mm.datasets.prepare_images import prepare_images
from cream_mm.testing import write_image_folder


@pytest.fixture
def root(tmp_path):
    return write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=4, val=2)


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(module, '_report', found.append)
    return found


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (24, 20), (7, 80, 200)).save(path, 'JPEG')
    return path


# ---- hidden entries and those of a system ------------------------------------------------------


def litter(folder):
    """Every entry of that kind in a folder, as an image or as a folder with one."""
    for name in LEFT:
        if name.endswith(('.db', '.ini', '.jpg', 'DS_Store')):
            image(folder / name)
        else:
            image(folder / name / 'a.jpg')


def test_they_are_neither_classes_nor_images(root, lines):
    before = list_folder(root)
    for folder in (root, root / 'train', root / 'train/ant', root / 'val'):
        litter(folder)
    image(root / 'train/bee/@eaDir/deep/SYNOPHOTO_THUMB_M.jpg')
    assert list_folder(root) == before == {n: [f'{i:03d}.jpg' for i in range(4)] for n in before}
    assert list(before) == ['ant', 'bee']
    number = 2 * len(LEFT) + 1  # in train, in ant, and one in bee
    assert lines[0].startswith(
        f'passed over {number} hidden or system entries below {root}/train: #recycle, $RECYCLE'
    )
    assert lines[0].endswith(f' and {number - 5} more') and len(lines) == 1


def test_a_dataset_and_a_prepared_copy_pass_them_over(root, tmp_path, lines):
    for folder in (root, root / 'train', root / 'val', root / 'train/bee'):
        litter(folder)
    for target, options in (('small', dict(size=16)), ('packed', dict(pack=True, size=20))):
        counts = prepare_images(root, tmp_path / target, **options)
        assert counts == dict(train=8, val=4)
        names = {p.name for p in (tmp_path / target).rglob('*')}
        assert not names & set(LEFT)
        dataset = ImageFolder(str(tmp_path / target), serialize_data=False)
        assert dataset.CLASSES == ('ant', 'bee') and len(dataset) == 8
    # In a packed folder, too, where they come later.
    litter(tmp_path / 'packed/train')
    assert is_packed(tmp_path / 'packed/train')
    assert len(ImageFolder(str(tmp_path / 'packed'), serialize_data=False)) == 8


def test_classes_of_a_pack_that_took_them_for_such(root, tmp_path):
    """As version 0.2 packed them: rows of the others stay where they are."""
    from cream_mm.datasets.packed_images import write_packed
    from cream_mm.datasets.transforms.load_image import decode_image

    names = ['.ipynb_checkpoints', 'ant', 'bee']
    image(root / 'train/.ipynb_checkpoints/a.jpg')
    image(root / 'train/ant/@eaDir/b.jpg')
    files = {n: sorted(str(p.relative_to(root / 'train' / n))
                       for p in (root / 'train' / n).rglob('*.jpg')) for n in names}  # fmt: skip
    pixels = [decode_image((root / 'train' / n / f).read_bytes()) for n in names for f in files[n]]
    write_packed(tmp_path / 'packed/train', files, pixels)
    for part in ('all', 'holdout'):
        plain, packed = (
            ImageFolder(str(folder), part=part, serialize_data=False,
                        pipeline=[dict(type='cream_mm.LoadImage')])
            for folder in (root, tmp_path / 'packed')
        )  # fmt: skip
        assert packed.CLASSES == plain.CLASSES == ('ant', 'bee') and len(packed) == len(plain)
        for i in range(len(plain)):
            assert packed[i]['gt_label'] == plain[i]['gt_label']
            assert (packed[i]['img'] == plain[i]['img']).all()


# ---- files that are no images ------------------------------------------------------------------


def test_extensions_that_are_read(tmp_path):
    names = ['a.JPG', 'b.jfif', 'c.gif', 'd.avif', 'e.JPEG', 'f.Tif', 'g.jpe', 'h.jp2', 'i.pbm']
    for name in names:
        (tmp_path / name).write_bytes(b'')
    assert list_images(tmp_path) == names


def test_what_is_not_read_is_counted_and_a_remedy_is_named(root, lines):
    for name in ('a.heic', 'b.HEIC', 'c.cr2', 'notes.txt', 'photo', 'd.mp4', 'e.svg', 'f.xyz'):
        (root / 'train/ant' / name).write_bytes(b'')
    image(root / 'train/loose.jpg')
    (root / 'train/list.csv').write_bytes(b'')
    assert len(list_folder(root)['ant']) == 4
    assert lines == [
        f'passed over 1 image that lies in {root}/train beside the class folders, and so belongs '
        'to no class: loose.jpg',
        f'passed over 9 files below {root}/train whose extension is of no image that is read '
        f'here: {lines[1].partition("here: ")[2]}',
    ]
    assert '2 .heic' in lines[1] and 'pip install pillow-heif' in lines[1]
    assert 'Raw photographs have to be developed' in lines[1] and 'and 3 more' in lines[1]


def test_heic_is_an_image_where_it_is_read(root, monkeypatch, lines):
    (root / 'train/ant/a.heic').write_bytes(b'')
    monkeypatch.setattr(module, 'readable_extensions', lambda: ('.jpg', '.heic'))
    assert list_folder(root)['ant'][-1] == 'a.heic' and lines == []


def test_a_class_of_files_that_are_not_read(root):
    (root / 'train/cat').mkdir()
    for name in ('a.heic', 'b.heic', '.DS_Store'):
        (root / 'train/cat' / name).write_bytes(b'')
    with pytest.raises(
        ValueError, match=r'no image in .*train/cat; .*It holds 2 \.heic \(acc.*jpg'
    ):
        ImageFolder(str(root))


# ---- folders of other names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ('asked', 'there', 'found'),
    [
        ('val', ['val', 'validation'], 'val'),
        ('val', ['validation'], 'validation'),
        ('val', ['valid'], 'valid'),
        ('val', ['Val'], 'Val'),
        ('val', ['eval'], 'eval'),
        ('val', ['test'], 'test'),
        ('val', ['VALIDATION', 'test'], 'VALIDATION'),
        ('val', ['test', 'valid'], 'valid'),
        ('validation', ['val'], 'val'),
        ('val', ['Val', 'VAL', 'val'], 'val'),
        ('val', ['vals', 'values'], 'val'),
        ('train', ['training'], 'training'),
        ('train', ['Train', 'training'], 'Train'),
        ('train', ['trains'], 'train'),
        ('test', ['Test'], 'Test'),
        ('test', ['val'], 'test'),  # what is asked for by that name is not the validation set
        ('mine', ['val', 'Mine'], 'mine'),
    ],
)
def test_the_folder_that_stands_for_another(tmp_path, asked, there, found):
    for name in there:
        (tmp_path / name).mkdir()
    assert find_folder(tmp_path, asked) == found


def test_two_that_differ_in_case(tmp_path):
    for name in ('Val', 'VAL'):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match='holds VAL and Val, which differ only in case'):
        find_folder(tmp_path, 'val')


@pytest.mark.parametrize(('train', 'val'), [('Training', 'valid'), ('TRAIN', 'Test')])
def test_a_dataset_finds_them(root, train, val):
    (root / 'train').rename(root / train)
    (root / 'val').rename(root / val)
    for folder, number, place in (('train', 8, train), ('val', 4, val), (val, 4, val)):
        dataset = ImageFolder(str(root), folder=folder, serialize_data=False)
        assert len(dataset) == number and dataset.CLASSES == ('ant', 'bee')
        assert f'/{place}/ant/' in dataset.get_data_info(0)['img_path']


def test_classes_that_are_named_need_no_training_folder(root):
    (root / 'train').rename(root / 'elsewhere')
    options = dict(folder='val', serialize_data=False)
    dataset = ImageFolder(str(root), metainfo=dict(classes=('zoo', 'bee', 'ant')), **options)
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(4)]
    assert labels == [1, 1, 2, 2] and dataset.CLASSES == ('zoo', 'bee', 'ant')
    with pytest.raises(ValueError, match='val has classes that .* has not: bee'):
        ImageFolder(str(root), metainfo=dict(classes=('ant',)), **options)


# ---- classes of the validation folder ----------------------------------------------------------


def test_classes_that_agree():
    check_classes(['a', 'b'], ['b'], 'train', 'val')


@pytest.mark.parametrize(
    ('name', 'known'),
    [('Ant', 'ant'), ('ant ', 'ant'), ('STRASSE', 'straße'), ('2\u00a0x', '2 x')],
)
def test_a_class_in_another_form_is_named_with_the_one_it_stands_for(name, known):
    with pytest.raises(ValueError, match='letter by letter, case, blanks and accents') as error:
        check_classes(['bee', known], ['bee', name], 'train', 'val')
    assert f'{name!a} (in train: {known!a})' in str(error.value)


def test_one_name_in_two_forms_of_unicode():
    names = [unicodedata.normalize(form, 'Käfer') for form in ('NFC', 'NFD')]
    assert names[0] != names[1]
    with pytest.raises(ValueError, match=r"'Ka\\u0308fer' \(in train: 'K\\xe4fer'\)"):
        check_classes([names[0]], [names[1]], 'train', 'val')
    assert same_but_for_case([*names, 'bee']) == [names]


# ---- images that lie elsewhere -----------------------------------------------------------------


def message(data_root):
    with pytest.raises(FileNotFoundError) as error:
        list_classes(data_root)
    return str(error.value)


def test_one_folder_deeper(tmp_path):
    write_image_folder(tmp_path / 'a b/flowers', train=1, val=1)
    (tmp_path / 'a b/__MACOSX/train').mkdir(parents=True)
    assert message(tmp_path / 'a b') == (
        f'{tmp_path}/a b has no folder train, but flowers in it has: give --cfg-options '
        f"'data_root={tmp_path}/a b/flowers'"
    )


@pytest.mark.parametrize('beside', ['val', 'images', 'test2017', 'other/train'])
def test_class_folders_in_data_root(root, tmp_path, beside):
    assert find_folder(root, '.') == 'train'  # an export of data without a split, given other data
    flat = (root / 'train').rename(tmp_path / 'flat')
    assert find_folder(flat, 'train') == '.' and find_folder(flat, 'val') == 'val'
    assert list_classes(flat) == list_classes(flat, '.') == ['ant', 'bee']
    assert find_folder(root.parent, '.') == '.'  # nothing to train on
    (flat / beside).mkdir(parents=True)  # so that the others may be no classes
    assert find_folder(flat, 'train') == 'train'
    text = message(flat)
    if beside != 'other/train':
        assert f'{flat} holds class folders itself (ant, bee), but no folder train' in text
        assert f'Move them into {flat}/train' in text


@pytest.mark.parametrize('name', ['train', 'val'])
def test_data_root_is_the_folder_of_classes(root, name):
    assert message(root / name).endswith(
        f'(ant, bee); data_root is the one above it: --cfg-options data_root={root}'
    )


def test_an_archive(tmp_path):
    (tmp_path / 'flowers.zip').write_bytes(b'PK')
    assert 'flowers.zip is a file, not a folder: unpack it' in message(tmp_path / 'flowers.zip')


def test_a_folder_that_cannot_be_listed_is_no_reason_to_stop(tmp_path, monkeypatch):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    whole = os.scandir

    def refuse(path):
        if str(path).endswith('/a'):
            raise PermissionError(13, 'Permission denied', path)
        return whole(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    assert 'expected one folder per class below' in message(tmp_path)


def test_files_of_the_outer_folders(tmp_path):
    for path in ('z.JSON', 'b/a.json', 'a/c/d/e.json', 'a/b.json', 'a/c/a.txt', '.git/a.json'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('')
    (tmp_path / 'link').symlink_to(tmp_path / 'b')
    (tmp_path / '.hidden.json').write_text('')
    assert module.outer_files(tmp_path, 1, ('.json',)) == ['z.JSON', 'a/b.json', 'b/a.json']
    assert module.outer_files(tmp_path, 0) == ['z.JSON']
    assert module.outer_files(tmp_path, 2) == ['z.JSON', 'a/b.json', 'b/a.json', 'a/c/a.txt']
    assert module.outer_files(tmp_path / 'none', 2) == []

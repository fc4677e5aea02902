import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cream_mm.config.load import load_config
from cream_mm.datasets import ImageFolder
from cream_mm.datasets import prepare_images as module
from cream_mm.datasets.prepare_images import prepare_images
from cream_mm.testing import write_image_folder

CONFIG = Path(__file__).resolve().parents[2] / 'configs/cream/retrain_imagenet.py'
LOAD = [dict(type='cream_mm.LoadImage')]


@pytest.fixture
def src(tmp_path):
    """Three classes in train, two in val; names and formats of several kinds."""
    root = write_image_folder(tmp_path / 'src', classes=('cat', 'ant', 'bee'), train=9, val=3)
    shutil.rmtree(root / 'val' / 'bee')
    ant = root / 'train' / 'ant'
    (ant / 'deep').mkdir()
    for name, mode in (('a b.PNG', 'L'), ('deep/x.bmp', 'RGB'), ('Z.webp', 'RGB')):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(ant / name)
    (ant / 'notes.txt').write_text('no image')
    return root


def open_set(root, folder='train', part='all'):
    return ImageFolder(
        str(root), folder=folder, part=part, holdout=0.3, pipeline=LOAD, serialize_data=False
    )


def names_and_labels(dataset, root):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(os.path.relpath(info['img_path'], root), info['gt_label']) for info in infos]


def write_image(path, size, **kwargs):
    """Smooth, so that resizing can be compared."""
    y, x = np.mgrid[: size[1], : size[0]]
    rgb = np.stack([255 * x / size[0], 255 * y / size[1], 128 + 0 * x], -1)
    Image.fromarray(rgb.astype(np.uint8)).save(path, **kwargs)


# ---- packed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('folder', 'part'),
    [('train', 'all'), ('train', 'train'), ('train', 'holdout'), ('val', 'all')],
)
def test_a_packed_set_is_the_same_set(src, tmp_path, folder, part):
    assert prepare_images(src, tmp_path / 'dst', pack=True) == {'train': 30, 'val': 6}
    ours, theirs = (open_set(root, folder, part) for root in (tmp_path / 'dst', src))
    assert ours.CLASSES == theirs.CLASSES == ('ant', 'bee', 'cat')
    assert names_and_labels(ours, tmp_path / 'dst') == names_and_labels(theirs, src)
    for i in range(len(theirs)):
        a, b = ours[i], theirs[i]
        assert np.array_equal(a['img'], b['img']) and a['gt_label'] == b['gt_label']
        assert a['img_shape'] == a['ori_shape'] == (20, 24)
    assert sorted(p.name for p in (tmp_path / 'dst' / folder).iterdir()) == [
        'images.json', 'images.npy',
    ]  # fmt: skip


def test_class_folders_without_a_split_become_train(src, tmp_path):
    prepare_images(src, tmp_path / 'split', size=8)
    prepare_images((src / 'train').rename(tmp_path / 'flat'), tmp_path / 'dst', size=8)
    whole, found = open_set(tmp_path / 'split'), open_set(tmp_path / 'dst')
    assert names_and_labels(found, tmp_path / 'dst') == names_and_labels(whole, tmp_path / 'split')


def test_a_config_takes_it_as_another_data_root(src, tmp_path):
    prepare_images(src, tmp_path / 'dst', pack=True)
    cfg = load_config(str(CONFIG), {'data_root': str(tmp_path / 'dst'), 'input_size': 16})
    assert cfg.num_classes == 3
    sets = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert [d.data_root for d in sets] == [str(tmp_path / 'dst')] * 2


def test_images_of_several_sizes(src, tmp_path):
    write_image(src / 'train' / 'cat' / '004.jpg', (40, 30))
    with pytest.raises(ValueError, match='004.jpg has 40 x 30 pixels.* has 24 x 20.*--size N'):
        prepare_images(src, tmp_path / 'dst', pack=True)
    assert not (tmp_path / 'dst').exists()
    prepare_images(src, tmp_path / 'dst', pack=True, size=16)
    packed = open_set(tmp_path / 'dst')
    assert packed[0]['img'].shape == (16, 16, 3)
    at = next(i for i, (n, _) in enumerate(names_and_labels(packed, '')) if '/cat/004' in n)
    # The middle 30 of 40 columns: red, the last channel, begins at 5 / 40 and ends at 35 / 40.
    red = packed[at]['img'][8, :, 2].astype(int)
    assert abs(red[0] - 255 * 6 / 40) < 8 and abs(red[-1] - 255 * 34 / 40) < 8


def test_damaged_images_are_not_packed(src, tmp_path):
    for name in ('ant/001', 'bee/002'):
        path = src / 'train' / f'{name}.jpg'
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match='2 images cannot be read: .*ant/001.*bee/002.*Mend') as e:
        prepare_images(src, tmp_path / 'dst', pack=True)
    assert 'Truncated' in str(e.value) and not (tmp_path / 'dst').exists()
    for name in ('ant/001', 'bee/002'):
        (src / 'train' / f'{name}.jpg').unlink()
    assert prepare_images(src, tmp_path / 'dst', pack=True)['train'] == 28


def test_what_others_left_is_not_removed(src, tmp_path):
    part = tmp_path / 'dst.part'
    part.mkdir()
    (part / 'thesis.txt').write_text('mine')
    for arguments in (dict(pack=True), dict(size=16)):
        with pytest.raises(FileExistsError, match='left of another preparation'):
            prepare_images(src, tmp_path / 'dst', **arguments)
    assert (part / 'thesis.txt').read_text() == 'mine'


def test_a_pack_larger_than_the_disk(src, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10, 9, 1000))
    with pytest.raises(ValueError, match=r'would take 0\.0 GB, and 0\.0 are free'):
        prepare_images(src, tmp_path / 'dst', pack=True)


def test_packed_already(src, tmp_path):
    prepare_images(src, tmp_path / 'dst', pack=True)
    with pytest.raises(ValueError, match='dst is packed already'):
        prepare_images(tmp_path / 'dst', tmp_path / 'again', pack=True)


# ---- resized -----------------------------------------------------------------------------------


@pytest.mark.parametrize('num_workers', [1, 2])
def test_larger_images_are_resized_the_others_copied(src, tmp_path, num_workers):
    write_image(src / 'train' / 'cat' / '004.jpg', (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright: what is stored as 60 x 40 is 40 x 60
    write_image(src / 'train' / 'cat' / '005.jpg', (60, 40), exif=exif)
    write_image(src / 'val' / 'cat' / 'large.png', (33, 400))
    counts = prepare_images(src, tmp_path / 'dst', size=30, num_workers=num_workers)
    assert counts == {'train': 30, 'val': 7}
    for folder, part in (('train', 'train'), ('train', 'holdout'), ('val', 'all')):
        ours, theirs = (open_set(root, folder, part) for root in (tmp_path / 'dst', src))
        assert names_and_labels(ours, tmp_path / 'dst') == names_and_labels(theirs, src)
    small = 'train/ant/001.jpg'
    assert (tmp_path / 'dst' / small).read_bytes() == (src / small).read_bytes()
    sizes = {'train/cat/004.jpg': (45, 30), 'train/cat/005.jpg': (30, 45),
             'val/cat/large.png': (30, 364)}  # fmt: skip
    for name, size in sizes.items():
        with Image.open(tmp_path / 'dst' / name) as image:
            assert image.size == size
            assert image.format == ('PNG' if name.endswith('png') else 'JPEG')
    pixels = np.asarray(Image.open(tmp_path / 'dst/train/cat/004.jpg')).astype(int)
    assert np.abs(pixels[15, :, 0] - 255 * (np.arange(45) + 0.5) / 45).max() < 8


def test_a_damaged_image_is_copied_and_named(src, tmp_path, capsys):
    write_image(src / 'train' / 'cat' / '004.jpg', (90, 70))
    path = src / 'train' / 'cat' / '004.jpg'
    path.write_bytes(path.read_bytes()[:900])
    prepare_images(src, tmp_path / 'dst', size=30)
    assert (tmp_path / 'dst/train/cat/004.jpg').read_bytes() == path.read_bytes()
    text = capsys.readouterr().out
    assert '1 images cannot be read whole and were copied as they are' in text and '004.jpg' in text


@pytest.mark.parametrize('num_workers', [1, 2])
def test_what_is_no_image_is_not_copied(src, tmp_path, capsys, num_workers):
    """A link may lead to any file of the user, or to what has no end."""
    secret = tmp_path / 'id_rsa'
    secret.write_text('-----BEGIN OPENSSH PRIVATE KEY-----')
    ant = src / 'train/ant'
    (ant / 'key.jpg').symlink_to(secret)
    (ant / 'zero.jpg').symlink_to('/dev/zero')
    (ant / 'gone.jpg').symlink_to('nowhere')
    os.mkfifo(ant / 'pipe.jpg')
    (ant / 'empty.jpg').write_bytes(b'')
    (ant / 'huge.jpg').touch()
    os.truncate(ant / 'huge.jpg', 2**40)
    (ant / 'loop').symlink_to('..')
    (ant / '000.jpg').rename(tmp_path / 'photo')  # a link to an image is an image
    (ant / '000.jpg').symlink_to(tmp_path / 'photo')
    counts = prepare_images(src, tmp_path / 'dst', size=16, num_workers=num_workers)
    assert counts == {'train': 30, 'val': 6}
    made = {p.name for p in (tmp_path / 'dst/train/ant').iterdir()}
    assert made == {f'{i:03d}.jpg' for i in range(9)} | {'a b.PNG', 'deep', 'Z.webp'}
    assert not any(p.is_symlink() for p in (tmp_path / 'dst').rglob('*'))
    assert len(open_set(tmp_path / 'dst')) == 30
    text = capsys.readouterr().out
    assert '4 files are no images, or cannot be read, and were left out' in text
    assert all(name in text for name in ('key.jpg', 'gone.jpg', 'empty.jpg', 'huge.jpg'))
    with pytest.raises(ValueError, match='4 images cannot be read: .*key.jpg'):
        prepare_images(src, tmp_path / 'packed', size=16, pack=True)


def test_linked_folders_are_prepared(src, tmp_path):
    (src / 'train/bee').rename(tmp_path / 'bees')
    (src / 'train/bee').mkdir()
    (src / 'train/bee/images').symlink_to(tmp_path / 'bees')
    for number, arguments in enumerate((dict(size=16), dict(pack=True))):
        dst = tmp_path / str(number)
        assert prepare_images(src, dst, **arguments)['train'] == 30
        assert names_and_labels(open_set(dst), dst) == names_and_labels(open_set(src), src)


def kinds():
    """Name -> an image of 48 x 40 pixels that is not plain 8-bit RGB, and how it is saved."""
    y, x = np.mgrid[:40, :48]
    rgb = np.stack([x * 5, y * 6, 128 + 0 * x], -1).astype(np.uint8)
    grey = (x * 1300 + y * 40).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(rgb)
    return {
        'grey16.png': (Image.fromarray(grey), dict(format='PNG')),
        'grey16.tiff': (Image.fromarray(grey), dict(format='TIFF')),
        'palette.png': (image.quantize(64), dict(format='PNG', transparency=3)),
        'alpha.png': (Image.fromarray(np.dstack([rgb, rgb[..., 0]])), dict(format='PNG')),
        'turned.png': (image, dict(format='PNG', exif=exif)),
        'turned.tiff': (image, dict(format='TIFF', tiffinfo={274: 6})),
        'cmyk.tiff': (image.convert('CMYK'), dict(format='TIFF')),
        'really_gif.jpg': (image.quantize(200), dict(format='GIF')),
        'really_jp2.jpg': (image, dict(format='JPEG2000')),
        'really_png.jpg': (image, dict(format='PNG')),
        'grey.pgm': (image.convert('L'), dict(format='PPM')),
    }


def test_all_kinds_are_prepared_as_they_are_loaded(tmp_path):
    """Resized, packed and copied: the pixels that LoadImage gives, to the bit."""
    src = tmp_path / 'src'
    (src / 'train/ant').mkdir(parents=True)
    for name, (image, options) in kinds().items():
        image.save(src / 'train/ant' / name, **options)
    prepare_images(src, tmp_path / 'small', size=20)
    prepare_images(src, tmp_path / 'packed', size=20, pack=True)
    prepare_images(src, tmp_path / 'copied', size=40)
    sets = {name: open_set(tmp_path / name) for name in ('src', 'small', 'packed', 'copied')}
    assert len({len(dataset) for dataset in sets.values()}) == 1
    for i in range(len(sets['src'])):
        name = Path(sets['src'].get_data_info(i)['img_path']).name
        loaded = Image.fromarray(sets['src'][i]['img'])
        width, height = (20, 24) if 'turned' in name else (24, 20)
        assert loaded.size == (2 * width, 2 * height), name
        small = loaded.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
        assert np.array_equal(sets['small'][i]['img'], np.asarray(small)), name
        assert np.array_equal(sets['copied'][i]['img'], np.asarray(loaded)), name
        square = ImageOps.fit(loaded, (20, 20), Image.Resampling.BICUBIC)
        assert np.array_equal(sets['packed'][i]['img'], np.asarray(square)), name


def test_it_goes_on_where_it_was_stopped(src, tmp_path, monkeypatch):
    names, whole = [], module._resize_file

    def full(split, target, size, name):
        names.append(name)
        if len(names) == 11:
            (target / name).with_name('000.jpg.tmp').write_bytes(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')
        return whole(split, target, size, name)

    monkeypatch.setattr(module, '_resize_file', full)
    with pytest.raises(OSError, match=r'cannot write .*dst\.part: No space left.*same command'):
        prepare_images(src, tmp_path / 'dst', size=16)
    assert not (tmp_path / 'dst').exists()
    with pytest.raises(FileExistsError, match='left of another preparation'):
        prepare_images(src, tmp_path / 'dst', size=17)
    prepare_images(src, tmp_path / 'dst', size=16)
    assert len(names) == 11 + 36 - 10 and names[10] == names[11]
    assert not (tmp_path / 'dst.part').exists()
    assert len(open_set(tmp_path / 'dst')) == 30


# ---- arguments ---------------------------------------------------------------------------------


def test_wrong_calls(src, tmp_path):
    with pytest.raises(ValueError, match='nothing to do'):
        prepare_images(src, tmp_path / 'dst')
    with pytest.raises(ValueError, match='size is a number of pixels; got 0'):
        prepare_images(src, tmp_path / 'dst', size=0)
    with pytest.raises(FileNotFoundError, match='expected one folder per class'):
        prepare_images(tmp_path / 'nowhere', tmp_path / 'dst', size=16)
    (tmp_path / 'there').mkdir()
    with pytest.raises(FileExistsError, match='there is there already'):
        prepare_images(src, tmp_path / 'there', size=16)

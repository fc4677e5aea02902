import pytest

from cream_mm.datasets import ImageFolder, LabelledImages
from cream_mm.testing import write_image_folder


def infos(dataset):
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['img_path'], info['gt_label']) for info in found]


@pytest.fixture
def root(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('cat', 'ant', 'bee'), train=10, val=3)
    rows = ['file,label,split']
    for path in sorted(root.rglob('*.jpg'), reverse=True):
        split, name, _ = path.relative_to(root).parts
        rows.append(f'{path.relative_to(root)},{name},{split}')
    (root / 'labels.csv').write_text('\n'.join(rows))
    return root


@pytest.mark.parametrize('part', ['all', 'train', 'holdout'])
@pytest.mark.parametrize('holdout', [0.3, 'auto'])
def test_it_is_the_image_folder(root, part, holdout):
    options = dict(part=part, holdout=holdout, split_seed=5, serialize_data=False)
    by_table, by_folder = (cls(str(root), **options) for cls in (LabelledImages, ImageFolder))
    assert infos(by_table) == infos(by_folder)
    assert by_table.CLASSES == by_folder.CLASSES == ('ant', 'bee', 'cat')


def test_other_splits_and_an_order_of_classes(root):
    options = dict(folder='validation', metainfo=dict(classes=('cat', 'bee', 'ant')))
    by_table, by_folder = (cls(str(root), **options) for cls in (LabelledImages, ImageFolder))
    assert infos(by_table) == infos(by_folder) and by_table.folder == 'val'
    with pytest.raises(FileNotFoundError, match="no split 'extra'; there is train, val"):
        LabelledImages(str(root), folder='extra')


def test_several_labels(tmp_path):
    # Of 40 images 4 have 'rare'; 10 % are held out of each rarest label, at least one.
    names = [f'{i:02d}.jpg' for i in range(40)]
    own = [['common'] + ['rare'] * (i < 4) for i in range(39)] + [[]]
    for name in names:
        (tmp_path / name).touch()
    rows = [f'{name},{"|".join(labels)}' for name, labels in zip(names, own, strict=True)]
    (tmp_path / 'labels.csv').write_text('\n'.join(['file,labels', *rows]))
    parts = {
        part: LabelledImages(str(tmp_path), part=part, holdout=0.1)
        for part in ('all', 'train', 'holdout')
    }
    labels = {p[-6:]: [*map(int, label)] for p, label in infos(parts['all'])}
    assert labels == {n: [['common', 'rare'].index(x) for x in o] for n, o in zip(names, own)}
    held, kept = ({p for p, _ in infos(parts[part])} for part in ('holdout', 'train'))
    assert not held & kept and len(held | kept) == 40
    # 1 of the 4 with 'rare', 4 of the 35 with 'common' alone, not the only one without a label.
    assert sorted(len(label) for _, label in infos(parts['holdout'])) == [1, 1, 1, 1, 2]
    assert parts['all'].get_cat_ids(0) in ([0], [0, 1]) and parts['all'].is_multi


def test_an_empty_class_is_named(root):
    options = dict(metainfo=dict(classes=('ant', 'bee', 'cat', 'dog')))
    with pytest.raises(ValueError, match=r'labels.csv \(train\) has no image of dog'):
        LabelledImages(str(root), **options)

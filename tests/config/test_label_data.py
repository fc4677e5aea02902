import pytest

from cream_mm.config import folder_data, load_config
from cream_mm.registry import kind_of
from cream_mm.testing import write_image_folder

SPOS, CREAM = 'configs/spos/search_imagenet.py', 'configs/cream/search_imagenet.py'


@pytest.fixture
def root(tmp_path):
    """30 images in one folder, 12 of 'cat', 12 of 'dog', 6 of 'cow', and no table."""
    root = write_image_folder(tmp_path / 'set', classes=('x',), train=30, val=0)
    (root / 'train').rename(root / 'images')
    return root


def write(root, name, row, indices=range(30), header='file,label'):
    rows = [row(i) for i in indices]
    (root / name).write_text('\n'.join([header, *rows]))


def one(i):
    return f'{i:03d}.jpg,{("cat", "dog", "cat", "dog", "cow")[i % 5]}'


def many(i):
    return f'{i:03d}.jpg,{"cat|dog" if i % 2 else "dog"}'


def datasets(cfg):
    return [cfg[f'{side}_dataloader'].dataset for side in ('train', 'val', 'test')]


def test_a_search_reads_a_table(root, tmp_path):
    write(root, 'labels.csv', one)
    cfg = load_config(CREAM, dict(data_root=str(root), batch_size=8))
    assert {kind_of(d) for d in datasets(cfg)} == {'LabelledImages'}
    assert kind_of(cfg.test_cfg.bn_dataset) == kind_of(cfg.custom_hooks[1].dataset)
    assert [d.get('part') for d in datasets(cfg)] == ['train', 'holdout', 'holdout']
    assert cfg.classes == ('cat', 'cow', 'dog')
    assert cfg.num_classes == cfg.model.head.num_classes == 3
    cfg.dump(tmp_path / 'dumped.py')
    again = load_config(str(tmp_path / 'dumped.py'))
    assert again.train_dataloader == cfg.train_dataloader and again.model == cfg.model


def test_a_split_of_its_own(root):
    write(root, 'train.csv', one, range(20))
    write(root, 'valid.csv', one, range(20, 30))
    cfg = load_config(SPOS, dict(data_root=str(root)))
    assert [d.get('folder', 'train') for d in datasets(cfg)] == ['train', 'val', 'train']
    assert cfg.train_dataloader.batch_size == 17  # 20 images, one of each class held out


def test_classes_that_training_lacks_are_refused(root):
    write(root, 'train.csv', one, range(20))
    write(root, 'val.csv', lambda i: f'{i:03d}.jpg,bird', range(20, 30))
    with pytest.raises(ValueError, match=r'val.csv \(val\) has classes .* has not: bird'):
        load_config(SPOS, dict(data_root=str(root)))


def test_class_folders_go_first(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=4, val=2)
    (root / 'labels.csv').write_text('ant/000.jpg,x\nbee/000.jpg,y\n')
    cfg = load_config(SPOS, dict(data_root=str(root)))
    assert {kind_of(d) for d in datasets(cfg)} == {'ImageFolder'}
    rows = [f'train/{c}/{i:03d}.jpg,{i % 2}' for c in ('ant', 'bee') for i in range(4)]
    (root / 'labels.csv').write_text('\n'.join(rows))
    for options in (dict(data_kind='label_table'), dict(data_root=str(root / 'labels.csv'))):
        cfg = load_config(SPOS, dict(dict(data_root=str(root)), **options))
        assert {kind_of(d) for d in datasets(cfg)} == {'LabelledImages'}
        assert cfg.classes == ('0', '1')


def test_a_table_goes_before_class_folders_that_are_not_split(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=4, val=0) / 'train'
    root = root.rename(tmp_path / 'flat')
    rows = [f'{c}/{i:03d}.jpg,{"xy"[i % 2]}' for c in ('ant', 'bee') for i in range(4)]
    (root / 'labels.csv').write_text('\n'.join(rows))
    cfg = load_config(SPOS, dict(data_root=str(root)))
    assert cfg.classes == ('x', 'y')


def test_several_labels_change_head_and_metrics(root, tmp_path):
    write(root, 'labels.csv', many)
    cfg = load_config(SPOS, dict(data_root=str(root)))
    assert cfg.model.head.type == 'cream_mm.CreamMultiLabelClsHead' and 'loss' not in cfg.model.head
    assert cfg.metric == cfg.test_cfg.metric == 'multi-label/mAP' and cfg.multi_label
    cfg.dump(tmp_path / 'dumped.py')
    again = load_config(str(tmp_path / 'dumped.py'))
    assert again.model == cfg.model and again.test_cfg == cfg.test_cfg
    with pytest.raises(ValueError, match='Cream matches .* search with configs/spos/search_imagen'):
        load_config(CREAM, dict(data_root=str(root)))


def test_the_user_says_that_there_may_be_several(root):
    write(root, 'labels.csv', one)
    cfg = load_config(SPOS, dict(data_root=str(root), multi_label=True))
    assert all(d.multi_label for d in datasets(cfg))
    assert cfg.model.head.type == 'cream_mm.CreamMultiLabelClsHead'


def test_copies_in_two_classes_are_found(root, monkeypatch):
    write(root, 'labels.csv', one)
    first, second = (root / f'images/x/{i:03d}.jpg' for i in (0, 1))
    second.write_bytes(first.read_bytes())
    cfg = load_config(SPOS, dict(data_root=str(root)))
    lines = []
    monkeypatch.setattr(folder_data, 'say_early', lambda text, *_: lines.append(text))
    folder_data.look_before_training(cfg)
    (line,) = (text for text in lines if text.startswith('WRONG LABELS'))
    assert f'{first} and {second}' in line

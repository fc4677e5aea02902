import pytest

from cream_mm.config.image_listing import ClassFolders, listing_of
from cream_mm.datasets.label_set import LabelSet
from cream_mm.testing import write_image_folder


@pytest.fixture
def root(tmp_path):
    root = write_image_folder(tmp_path / 'set', classes=('ant', 'bee'), train=2, val=1)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob('*.jpg'))
    (root / 'labels.csv').write_text('\n'.join(f'{n},{n.split("/")[1]}' for n in names))
    return root


def test_folders_and_a_table_answer_alike(root):
    by_folder = listing_of(dict(type='cream_mm.ImageFolder', data_root=str(root)))
    by_table = listing_of(dict(type='cream_mm.LabelledImages', data_root=str(root)))
    assert isinstance(by_folder, ClassFolders) and isinstance(by_table, LabelSet)
    for one in (by_folder, by_table):  # the table has no splits: its images' folders are
        assert sorted(one.names()) == ['train', 'val']
        assert [one.find(name) for name in ('training', 'validation', 'x')] == ['train', 'val', 'x']
        assert (one.has('val'), one.has('test')) == (True, False)
        assert one.classes_of('val') == ['ant', 'bee']
        files = {
            name: [one.path('train', name, file) for file in files]
            for name, files in one.files('train').items()
        }
        assert files == {
            name: [root / 'train' / name / f'{i:03d}.jpg' for i in (0, 1)]
            for name in ('ant', 'bee')
        }
    assert by_folder.where('val') == str(root / 'val')
    assert by_table.where('val') == f'{root / "labels.csv"} (val)'

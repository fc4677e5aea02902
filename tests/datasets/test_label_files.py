import pytest

from cream_mm.datasets.label_files import MAX_FILES, Table, find_tables, holds_labels

TABLE = 'file,label\na.jpg,cat\n'


def write(root, *names, text=TABLE):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['labels.csv'], {'labels.csv': None}),
        (['other.csv', 'labels.csv'], {'labels.csv': None}),
        (['train.csv', 'val.csv', 'all.csv'], {'train.csv': 'train', 'val.csv': 'val'}),
        (['trainLabels.csv', 'x_valid.csv'], {'trainLabels.csv': 'train', 'x_valid.csv': 'val'}),
        (['meta/train.txt', 'meta/test.txt'], {'meta/train.txt': 'train', 'meta/test.txt': 'test'}),
        (['train/_classes.csv', 'train/x.csv'], {'train/_classes.csv': 'train'}),
        (['train.csv', 'train.txt'], {'train.csv': 'train'}),
        (['trainval.csv'], {'trainval.csv': None}),
        (['sample_submission.csv'], {}),
        (['val.csv'], {}),
        (['cats/labels.csv'], {}),
    ],
)
def test_tables_of_a_folder(tmp_path, names, expected):
    write(tmp_path, *names)
    tables, notes = find_tables(tmp_path)
    assert tables == [Table(tmp_path / name, split) for name, split in expected.items()]
    left = [name for name in names if name not in expected and 'submission' not in name]
    assert bool(notes) == bool(left and expected)
    assert all(str(tmp_path / name) in notes[0] for name in left if notes)


def test_a_file_for_each_image_is_no_table(tmp_path):
    write(tmp_path, *(f'labels/{i}.txt' for i in range(MAX_FILES + 1)), text='a.jpg cat\n')
    assert find_tables(tmp_path) == ([], [])


def test_ids_have_to_be_those_of_images(tmp_path):
    write(tmp_path, 'labels.csv', text='id,label\n1,cat\n2,dog\n')
    assert not holds_labels(tmp_path / 'labels.csv')
    write(tmp_path, 'images/deep/2.jpg')
    assert holds_labels(tmp_path / 'labels.csv')


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / 'loop.csv').symlink_to(tmp_path / 'loop.csv')
    (tmp_path / 'train').symlink_to(tmp_path)
    write(tmp_path, 'labels.csv', text='id,label\n1,cat\n2,dog\n')
    assert find_tables(tmp_path) == ([], [])

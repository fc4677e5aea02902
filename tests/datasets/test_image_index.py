import pytest

from cream_mm.datasets.image_index import ImageIndex, is_image_name


@pytest.fixture
def index(tmp_path):
    for name in ('train/1.jpg', 'test/1.jpg', 'deep/er/b c.PNG', 'd.v2.jpg', 'é.jpg', 'notes.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return ImageIndex(str(tmp_path))


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('train/1.jpg', 'train/1.jpg'),
        ('./train/1.jpg', 'train/1.jpg'),
        ('/home/me/set/train/1.jpg', 'train/1.jpg'),
        ('train/1', 'train/1.jpg'),
        (r'C:\set\deep\er\B C.png', 'deep/er/b c.PNG'),
        ('er/b%20c.PNG', 'deep/er/b c.PNG'),
        ('b c', 'deep/er/b c.PNG'),
        ('b c.jpg', 'deep/er/b c.PNG'),  # the set was converted
        ('d.v2', 'd.v2.jpg'),
        ('e\u0301.jpg', 'é.jpg'),
        ('d', None),
        ('notes', None),
        ('', None),
    ],
)
def test_names_that_tables_have(index, name, path):
    assert index.find(name) == path


def test_a_folder_decides_between_equals(index):
    assert index.find('1', ['test']) == 'test/1.jpg'
    with pytest.raises(ValueError, match=r'test/1.jpg, train/1.jpg'):
        index.find('1')


def test_names_of_images():
    names = ('a.jpg', 'a.JPEG ', 'a', 'a.txt', 'jpg')
    assert [*map(is_image_name, names)] == [True, True, False, False, False]

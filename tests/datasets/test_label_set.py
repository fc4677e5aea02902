import pytest

from cream_mm.datasets.label_set import LabelledImage, LabelSet, root_of


@pytest.fixture
def several():
    images = [
        LabelledImage('b/1.jpg', (0, 1)),
        LabelledImage('a/2.jpg', (0,)),
        LabelledImage('a/1.jpg', (0,)),
        LabelledImage('c.jpg', ()),
    ]
    return LabelSet('set', ['set/labels.csv'], ['cat', 'dog', 'cow'], {'all': images}, True)


def test_an_image_stands_with_its_rarest_label(several):
    expected = {'cat': ['a/1.jpg', 'a/2.jpg'], 'dog': ['b/1.jpg'], '': ['c.jpg']}
    assert several.files('train') == expected
    assert list(several.files('train')) == ['cat', 'dog', '']
    assert several.classes_of('train') == ['cat', 'dog']
    assert several.files('val') == {} and several.classes_of('val') == []


def test_names_of_splits(several):
    assert several.names() == ['train'] and several.find('val') == 'val'
    assert several.find('Training') == 'train' and not several.has('val')
    split = LabelSet('set', ['t.csv'], ['x'], dict(train=[], test=[]))
    assert [split.find(name) for name in ('train', 'validation', 'test', 'extra')] == [
        'train', 'test', 'test', 'extra',
    ]  # fmt: skip
    assert (split.where('test'), several.where('train')) == ('t.csv (test)', 'set/labels.csv')


def test_the_root_of_a_table_is_its_folder(tmp_path):
    (tmp_path / 'x.csv').touch()
    assert root_of(tmp_path / 'x.csv') == root_of(tmp_path) == str(tmp_path)

"""Images that were made of one picture are known by their names."""

import pytest

from cream_mm.datasets.augmented import augmented_stem, same_pictures


@pytest.mark.parametrize(
    ('path', 'stem'),
    [
        ('a/dog.rf.0123456789abcdef0.png', 'dog'),
        ('a/dog_v1.2_JPEG.rf.AbCdEf0123456789wXyZ.jpg', 'dog_v1.2'),
        ('dog_png.rf.89abcdef.jpg', 'dog'),
        ('a/dog.rf.jpg', None),
        ('x.rf.0123456789abcdef/dog.jpg', None),
    ],
)
def test_the_name_of_the_picture(path, stem):
    assert augmented_stem(path) == stem


def test_images_by_their_picture():
    paths = ['a_jpg.rf.01234567.jpg', 'b.jpg', 'x/a_jpg.rf.89abcdef.jpg', 'b.jpg']
    assert same_pictures(paths) == [[0, 2], [1], [3]]
    assert same_pictures([]) == []

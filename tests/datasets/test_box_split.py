"""Images with boxes on two sides: classes on both, copies on one."""

from collections import Counter

import numpy as np
import pytest

from cream_mm.datasets.box_set import Box, BoxImage
from cream_mm.datasets.box_split import group_copies, split_images


def image(path, *labels):
    return BoxImage(path, 40, 30, [Box(label, 1, 1, 5, 5) for label in labels])


def paths(images):
    return [i.path for i in images]


def counts(images):
    return Counter(label for i in images for label in {box.label for box in i.boxes})


def test_one_class_each_is_divided_to_the_image():
    labels = [0] * 50 + [1] * 20 + [2] * 10 + [3] * 2 + [4]
    images = [image(f'{n}.jpg', label) for n, label in enumerate(labels)]
    train, held = split_images(images)
    assert counts(held) == {0: 10, 1: 4, 2: 2, 3: 1}  # the only image of a class is trained on
    assert counts(train) == {0: 40, 1: 16, 2: 8, 3: 1, 4: 1}
    assert sorted(paths(train + held)) == sorted(paths(images))
    order = paths(images)
    assert [order.index(path) for path in paths(train)] == sorted(
        order.index(path) for path in paths(train)
    )


def test_several_classes_in_an_image():
    rng = np.random.default_rng(0)
    chances = np.array([0.6, 0.3, 0.1, 0.03, 0.01])
    images = [
        image(f'{n}.jpg', *np.flatnonzero(rng.random(5) < chances).tolist()) for n in range(600)
    ]
    train, held = split_images(images)
    both, part = counts(images), counts(held)
    for label, number in both.items():
        assert part[label] == pytest.approx(number * 0.2, abs=1.01), label
        assert counts(train)[label] == number - part[label]
    assert len(held) == pytest.approx(120, abs=3)
    boxes = sum(len(i.boxes) for i in held) / sum(len(i.boxes) for i in images)
    assert boxes == pytest.approx(0.2, abs=0.01)  # crowded images are on both sides


def test_every_class_of_two_images_is_on_both_sides():
    rng = np.random.default_rng(1)
    for round_ in range(20):
        images = [
            image(f'{n}.jpg', *rng.choice(12, rng.integers(0, 4), replace=False).tolist())
            for n in range(24)
        ]
        train, held = split_images(images, seed=round_)
        assert train
        assert held
        lacking = [
            label for label, n in counts(images).items()
            if n > 2 and not (counts(train)[label] and counts(held)[label])
        ]  # fmt: skip
        assert not lacking


def test_a_split_is_a_function_of_the_set_and_the_seed():
    images = [image(f'{n}.jpg', n % 3) for n in range(40)]
    first = split_images(images)
    again = split_images(images[::-1])
    assert paths(again[1]) == paths(first[1])[::-1]  # in the order given
    assert paths(split_images(images, seed=1)[1]) != paths(first[1])


def test_images_without_boxes_are_divided_too():
    train, held = split_images([image(f'{n}.jpg') for n in range(10)])
    assert (len(train), len(held)) == (8, 2)
    train, held = split_images([image(f'{n}.jpg', *[0] * (n < 10)) for n in range(20)])
    assert counts(held) == {0: 2}
    assert len(held) == 4


def test_two_images_are_one_and_one_and_one_is_refused():
    train, held = split_images([image('a.jpg', 0), image('b.jpg', 0)])
    assert (len(train), len(held)) == (1, 1)
    train, held = split_images([image('a.jpg', 0), image('b.jpg', 1)])
    assert (len(train), len(held)) == (1, 1)
    with pytest.raises(ValueError, match='1 images, 1 without copies: a part to train on'):
        split_images([image('a.jpg', 0)])


def test_copies_stay_together(tmp_path):
    hashes = [f'{n:032x}' for n in range(3)]
    names = [f'x/a_jpg.rf.{code}.jpg' for code in hashes]
    names += ['b.jpg', 'c.jpg', 'd.jpg', 'a.rf.jpg']
    content = dict(b=b'one', c=b'two', d=b'one')
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content.get(name[0], name.encode()))
    images = [image(name, 0) for name in names]
    grouped = [paths(group) for group in group_copies(images, str(tmp_path))]
    assert grouped == [['a.rf.jpg'], ['b.jpg', 'd.jpg'], ['c.jpg'], names[:3]]
    assert [len(group) for group in group_copies(images)] == [1, 1, 1, 1, 3]
    (tmp_path / names[2]).write_bytes(b'two')  # a copy of c, and of the same picture as a
    grouped = [paths(group) for group in group_copies(images, str(tmp_path))]
    assert grouped == [['a.rf.jpg'], ['b.jpg', 'd.jpg'], ['c.jpg', *names[:3]]]


def test_groups_of_copies_are_on_one_side():
    images = [
        image(f'{n}_jpg.rf.{copy:08x}.jpg', n % 2) for n in range(30) for copy in range(1 + n % 4)
    ]
    train, held = split_images(images, share=0.25)
    stems = [{path.split('_')[0] for path in paths(side)} for side in (train, held)]
    assert not stems[0] & stems[1]
    assert len(held) == pytest.approx(len(images) / 4, abs=3)

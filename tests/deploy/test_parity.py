"""The check of a file finds what is wrong with it, and nothing where nothing is."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image

from cream_mm import create_model
from cream_mm.apis.time_networks import fit_norms
from cream_mm.deploy import parity
from cream_mm.deploy.classifier import graph_of
from cream_mm.deploy.onnx_file import resize_of
from cream_mm.testing.tiny import tiny_space

SIZE = [24, 24]
PIPELINE = [dict(type='Resize', scale=24, backend='pillow')]
ABOUT = dict(
    task='classification', classes=['a', 'b', 'c'],
    input=dict(order='RGB', range=[0, 255], size=SIZE, dynamic=['batch', 'size']),
    resize=resize_of(PIPELINE),
)  # fmt: skip


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = create_model([[0], [0, 1], [1, 0], [0]], num_classes=3, space=tiny_space())
    fit_norms(model, (2, 3, *SIZE))
    return model


@pytest.fixture(scope='module')
def right(model):
    """What a right file says, without a file."""
    graph, (name,) = graph_of(model)

    @torch.no_grad()
    def run(image):
        return {name: graph(torch.from_numpy(image)).numpy()}

    return run


@pytest.fixture
def photographs(tmp_path):
    """A loader of five photographs, each of which lies on the disk."""
    samples = []
    for i, image in enumerate(parity.noise(5, (40, 30))):
        path = tmp_path / f'{i}.png'
        Image.fromarray(image).save(path)
        small = np.asarray(Image.fromarray(image).resize((24, 24), Image.BILINEAR))
        bgr = torch.from_numpy(small[..., ::-1].transpose(2, 0, 1).copy())
        sample = DataSample(metainfo=dict(img_path=str(path))).set_gt_label(i % 3)
        samples.append(dict(inputs=[bgr], data_samples=[sample]))
    return samples


def test_what_is_right_passes(model, right, photographs):
    report = parity.check('m.onnx', right, model, photographs, about=ABOUT)
    assert report.passed, report.lines
    assert report.verdict() == 'verdict: the file does what the PyTorch model does'
    numbers = report.numbers
    assert (numbers['images'], numbers['same_class'], numbers['script_pixels']) == (5, 1, 0)
    keys = 'batches', 'sizes', 'uniform', 'photographs', 'sums', 'script_outputs'
    assert max(numbers[key] for key in keys) < 1e-5
    labels = [model.val_step(batch)[0] for batch in photographs]
    share = np.mean([int(s.pred_label) == int(s.gt_label) for s in labels])
    assert numbers['accuracy'] == [share, share]


def swapped(run, image):
    return run(image[:, ::-1].copy())


def normalised_twice(run, image):
    return run((image - 127) / 128)


def softmax_twice(run, image):
    values = np.exp(run(image)['probabilities'])
    return dict(probabilities=values / values.sum(1, keepdims=True))


def softmax_missing(run, image):
    return dict(probabilities=np.log(run(image)['probabilities']))


def rows_mixed(run, image):
    return {name: value[::-1] for name, value in run(image).items()}


def first_row_alone(run, image):
    return {name: np.repeat(value[:1], len(value), 0) for name, value in run(image).items()}


def one_image_only(run, image):
    if len(image) != 1:
        raise RuntimeError('got 2, expected 1')
    return run(image)


def padded_as_at_an_even_size(run, image):
    return run(image if image.shape[3] % 2 == 0 else np.roll(image, 1, axis=3))


def no_number(run, image):
    found = run(image)
    return found if image.std() > 0 else {name: value * np.nan for name, value in found.items()}


@pytest.mark.parametrize(
    'defect, message',
    [
        (swapped, 'different images in a batch'),
        (normalised_twice, 'uniform images'),
        (softmax_twice, 'different images in a batch'),
        (softmax_missing, 'photographs'),
        (rows_mixed, 'different images in a batch'),
        (first_row_alone, 'different images in a batch'),
        (one_image_only, 'a batch of 2 of 24 x 24 cannot be run: got 2, expected 1'),
        (padded_as_at_an_even_size, 'other sizes'),
        (no_number, 'uniform images'),
    ],
)
def test_what_is_wrong_is_found(model, right, photographs, defect, message):
    report = parity.check(
        'm.onnx', lambda image: defect(right, image), model, photographs, about=ABOUT
    )
    assert not report.passed
    assert any(message in text for text in report.failures), report.lines
    assert 'do not use this file' in report.verdict()


def test_a_script_that_prepares_otherwise_is_found(model, right, photographs):
    other = dict(ABOUT, resize=resize_of([dict(type='Resize', scale=24, interpolation='bicubic',
                                               backend='pillow')]))  # fmt: skip
    report = parity.check('m.onnx', right, model, photographs, about=other)
    assert [text for text in report.failures if 'run_onnx.py prepares' in text]
    crop = resize_of([dict(type='CenterCrop', crop_size=20)])
    open_size = dict(ABOUT, resize=crop)
    report = parity.check('m.onnx', right, model, photographs, about=open_size)
    assert [text for text in report.failures if 'it makes (20, 20) pixels' in text]


def test_images_that_are_smaller_than_a_fixed_size_are_padded_larger_ones_passed_over(
    model, right, photographs
):
    photographs[0]['inputs'][0] = photographs[0]['inputs'][0][:, :20, :18]
    photographs[1]['inputs'][0] = photographs[1]['inputs'][0].repeat(1, 2, 1)
    about = dict(ABOUT, resize=None, input=dict(ABOUT['input'], dynamic=['batch']))
    shapes = set()

    def run(image):
        shapes.add(image.shape[2:])
        return right(image)

    report = parity.check('m.onnx', run, model, photographs, about=about)
    assert report.passed and shapes == {(24, 24)}
    assert report.numbers['images'] == 4 and 'script_pixels' not in report.numbers
    assert any('1 photographs are not compared' in line for line in report.lines)


def test_images_that_the_model_does_not_tell_apart_are_said(model, right):
    flat = create_model([[0], [0, 1], [1, 0], [0]], num_classes=3, space=tiny_space())
    flat.head.classifier.weight.data.zero_()
    graph, (name,) = graph_of(flat)

    def run(image):
        with torch.no_grad():
            return {name: graph(torch.from_numpy(image)).numpy()}

    report = parity.check('m.onnx', run, flat, None, about=ABOUT)
    assert any('hardly tells images apart' in line for line in report.lines)
    assert any('photographs: not compared' in line for line in report.lines)


def test_batches_of_a_fixed_number_put_different_images_in_each_place():
    images = np.arange(3)
    assert [b.tolist() for b in parity.batches_of(images, False, 4)] == [
        [0, 1, 2, 0], [1, 0, 2, 1], [0, 0, 0, 0]
    ]  # fmt: skip
    assert [0, 1] in [b.tolist() for b in parity.batches_of(images, True)]

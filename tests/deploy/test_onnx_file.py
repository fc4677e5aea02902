"""What an ONNX file says of itself is what a reader finds, and what cannot be said is refused."""

import onnx
import pytest
from onnx import TensorProto, helper

from cream_mm.deploy.onnx_file import read_about, resize_of, write_about

ABOUT = dict(
    task='classification', classes=['cat', 'dög'], input=dict(order='RGB'), normalisation={},
    resize=None, outputs=dict(probabilities='(N, 2)'), weights=dict(file='a.pth'),
)  # fmt: skip


def tiny():
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info('probabilities', TensorProto.FLOAT, [1])
    node = helper.make_node('Identity', ['image'], ['probabilities'])
    return helper.make_model(helper.make_graph([node], 'g', [image], [out]))


def test_the_metadata_travel_and_other_keys_stay(tmp_path):
    model = tiny()
    model.metadata_props.add(key='author', value='me')
    write_about(model, dict(ABOUT, classes=['old']))
    write_about(model, ABOUT)
    onnx.save(model, tmp_path / 'm.onnx')
    assert read_about(tmp_path / 'm.onnx') == dict(ABOUT, format=1)
    assert [p.key for p in model.metadata_props] == ['author', 'cream_mm']


def test_what_is_no_file_of_ours_is_refused(tmp_path):
    path = tmp_path / 'm.onnx'
    with pytest.raises(FileNotFoundError, match='no ONNX file'):
        read_about(path)
    path.write_bytes(b'\xff\xd8 a photograph')
    with pytest.raises(ValueError, match='is no ONNX file'):
        read_about(path)
    onnx.save(tiny(), path)
    with pytest.raises(ValueError, match='no metadata of cream_mm'):
        read_about(path)
    model = tiny()
    with pytest.raises(ValueError, match='lacks weights'):
        write_about(model, {key: value for key, value in ABOUT.items() if key != 'weights'})
    with pytest.raises(ValueError, match='task is one of'):
        write_about(model, dict(ABOUT, task='guess'))
    model.metadata_props.add(key='cream_mm', value='{"format": 2}')
    onnx.save(model, path)
    with pytest.raises(ValueError, match='has format 2; this version reads 1'):
        read_about(path)


LOAD, PACK = dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')
PLAIN = dict(divisor=1, value=[0.0, 0.0, 0.0], to=None)


@pytest.mark.parametrize(
    'steps, expected',
    [
        ([], dict(mode='none', size=None, crop=None, pad=PLAIN)),
        (
            [dict(type='ResizeEdge', scale=256), dict(type='CenterCrop', crop_size=(192, 224))],
            dict(mode='short_edge', size=256, backend='cv2', crop=[224, 192]),
        ),
        (
            [dict(type='ResizeEdge', scale=64, interpolation='bicubic', backend='pillow')],
            dict(mode='short_edge', interpolation='bicubic', backend='pillow'),
        ),
        ([dict(type='Resize', scale=128)], dict(mode='stretch', size=[128, 128])),
        (
            [
                dict(type='mmdet.Resize', scale=(416, 320), keep_ratio=True),
                dict(type='Pad', size=(416, 320), pad_val=dict(img=(1, 2, 3))),
                dict(type='LoadAnnotations'),
            ],
            dict(
                mode='keep_ratio', size=[320, 416], backend='cv2',
                pad=dict(divisor=1, value=[3.0, 2.0, 1.0], to=[320, 416]),
            ),
        ),
    ],
)  # fmt: skip
def test_steps_in_words(steps, expected):
    found = resize_of([LOAD, *steps, PACK])
    assert {key: found[key] for key in expected} == expected


def test_the_padding_of_the_preprocessor_joins_that_of_the_pipeline():
    pad = resize_of([LOAD], divisor=32, value=(1, 2, 3))['pad']
    assert pad == dict(divisor=32, value=[1, 2, 3], to=None)
    step = dict(type='Pad', size_divisor=64, pad_val=114)
    assert resize_of([step], divisor=32)['pad'] == dict(divisor=64, value=[114] * 3, to=None)
    with pytest.raises(ValueError, match='size_divisor=16, no multiple of 32'):
        resize_of([dict(step, size_divisor=16)], divisor=32)
    with pytest.raises(ValueError, match='no multiple of 32'):
        resize_of([dict(type='Pad', size=(320, 330))], divisor=32)


@pytest.mark.parametrize(
    'steps, message',
    [
        ([dict(type='ToTensor')], 'the step ToTensor, which'),
        ([dict(type='CenterCrop', crop_size=8), dict(type='Resize', scale=9)], 'behind CenterCrop'),
        ([dict(type='ResizeEdge', scale=8, edge='long')], "with edge='long'"),
        ([dict(type='Resize', scale=8, interpolation='area')], "with interpolation='area'"),
        ([dict(type='Resize', scale=8, interpolation='bicubic')], "with backend='cv2'"),
        ([dict(type='Resize', scale_factor=2.0)], 'with scale_factor'),
        ([dict(type='CenterCrop', crop_size=8, auto_pad=True)], 'with auto_pad=True'),
        ([dict(type='Pad', pad_to_square=True)], 'with pad_to_square'),
    ],
)
def test_steps_that_these_words_cannot_describe(steps, message):
    with pytest.raises(ValueError, match=message):
        resize_of([LOAD, *steps, PACK])

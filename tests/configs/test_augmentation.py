"""The augmentation of the retraining against timm's, which the released recipe used."""

import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from timm.data.auto_augment import LEVEL_TO_ARG, AugmentOp

CONFIG = Path(__file__).resolve().parents[2] / 'configs/cream/retrain_imagenet.py'

# timm's set that is not "increasing", in its order.
VALUE_OPS = (
    'AutoContrast', 'Equalize', 'Invert', 'Posterize', 'Solarize', 'SolarizeAdd', 'Color',
    'Contrast', 'Brightness', 'Sharpness',
)  # fmt: skip
GEOMETRIC_OPS = ('Rotate', 'ShearX', 'ShearY', 'TranslateXRel', 'TranslateYRel')
TIMM_OPS = (
    *VALUE_OPS[:3], 'Rotate', *VALUE_OPS[3:], 'ShearX', 'ShearY', 'TranslateXRel', 'TranslateYRel',
)  # fmt: skip
LEVELLED = TIMM_OPS[3:]


@pytest.fixture(scope='module')
def photo():
    """A photograph of 224 x 224 pixels, in RGB, that comes with matplotlib."""
    path = Path(matplotlib.get_data_path(), 'sample_data', 'grace_hopper.jpg')
    image = Image.open(path).convert('RGB').resize((256, 256), Image.BICUBIC)
    return image.crop((0, 0, 224, 224))


@pytest.fixture(scope='module')
def pipeline():
    return Config.fromfile(str(CONFIG)).train_pipeline


def step(pipeline, name):
    return next(dict(s) for s in pipeline if s.type == name)


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return TRANSFORMS.build(cfg)


def apply_ours(pipeline, name, level, photo, negative=False, interpolation='bilinear'):
    """A policy of the config at a fixed level, always applied. int array, RGB."""
    augment = step(pipeline, 'RandAugment')
    policy = dict(augment['policies'][TIMM_OPS.index(name)], prob=1.0)
    if 'magnitude_range' in policy:
        policy.update(magnitude_level=level, total_level=augment['total_level'], magnitude_std=0)
    if name in GEOMETRIC_OPS:
        policy.update(
            pad_val=augment['hparams']['pad_val'],
            interpolation=interpolation,
            random_negative_prob=float(negative),
        )
    bgr = np.array(photo)[..., ::-1].copy()
    return build(policy)(dict(img=bgr))['img'][..., ::-1].astype(int)


def apply_timms(monkeypatch, name, level, photo, negative=False):
    """The same op of timm; ``negative`` decides its only random number."""
    hparams = dict(img_mean=(124, 116, 104), interpolation=Image.BILINEAR)
    op = AugmentOp(name, prob=1.0, magnitude=level, hparams=hparams)
    with monkeypatch.context() as patch:
        patch.setattr(random, 'random', lambda: 0.9 if negative else 0.1)
        return np.array(op(photo)).astype(int)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('Rotate', 27.0),  # 30 m / 10
        ('Posterize', 3),  # int(4 m / 10)
        ('Solarize', 230),  # int(256 m / 10)
        ('SolarizeAdd', 99),  # int(110 m / 10)
        ('Color', 1.72),  # 1.8 m / 10 + 0.1
        ('Contrast', 1.72),
        ('Brightness', 1.72),
        ('Sharpness', 1.72),
        ('ShearX', 0.27),  # 0.3 m / 10
        ('ShearY', 0.27),
        ('TranslateXRel', 0.405),  # 0.45 m / 10
        ('TranslateYRel', 0.405),
    ],
)
def test_the_installed_timm_has_the_formulas_of_the_recipes(name, expected):
    """At level 9, by the formulas of timm 0.1.20."""
    (value,) = np.ravel(LEVEL_TO_ARG[name](9, {}))[:1]
    assert abs(value) == pytest.approx(expected)


# Levels of which some fall between two thresholds, and the ends. The draws reach 10 by clipping.
@pytest.mark.parametrize('level', [9, 10, 8.3, 7.49, 5, 2.6])
@pytest.mark.parametrize('name', VALUE_OPS)
def test_values_are_timms(name, level, photo, pipeline, monkeypatch):
    ours = apply_ours(pipeline, name, level, photo)
    difference = np.abs(ours - apply_timms(monkeypatch, name, level, photo))
    if name == 'Sharpness':
        difference = difference[1:-1, 1:-1]  # pillow does not smooth the outermost pixels
    # Blending with a grey image rounds differently.
    assert difference.max() <= (2 if name in ('Color', 'Contrast', 'Sharpness') else 0)
    if name not in ('Invert', 'AutoContrast', 'Equalize') and level == 9:
        assert np.abs(ours - np.array(photo)).max() > 10  # something was done


@pytest.mark.parametrize('name', GEOMETRIC_OPS)
def test_shapes_are_timms(name, photo, pipeline, monkeypatch):
    """Both directions, each once; with the same interpolation they differ by its details."""
    theirs = [apply_timms(monkeypatch, name, 9, photo, negative) for negative in (False, True)]
    partners = []
    for negative in (False, True):
        ours = apply_ours(pipeline, name, 9, photo, negative)
        # Shears differ by 0.14 pixels: pillow shears around pixel edges, OpenCV around centres.
        errors = [np.abs(ours - other).mean() for other in theirs]
        partner = int(np.argmin(errors))
        assert errors[partner] < (1.6 if 'Shear' in name else 0.6)
        assert errors[1 - partner] > 40
        partners.append(partner)
    assert sorted(partners) == [0, 1]


@pytest.mark.parametrize('name', GEOMETRIC_OPS)
def test_uncovered_pixels_get_the_mean(name, photo, pipeline, monkeypatch):
    ours = apply_ours(pipeline, name, 9, photo)
    filled = (ours == (124, 116, 104)).all(axis=2)
    others = [apply_timms(monkeypatch, name, 9, photo, n) for n in (False, True)]
    shares = [(other == (124, 116, 104)).all(axis=2).mean() for other in others]
    assert filled.mean() == pytest.approx(np.mean(shares), abs=0.01) and filled.mean() > 0.05


# --- what is drawn ---


@pytest.fixture
def augment(pipeline):
    np.random.seed(0)
    return build(step(pipeline, 'RandAugment'))


def test_two_ops_with_replacement(augment):
    draws = np.array([augment.random_policy_indices() for _ in range(30000)])
    assert draws.shape[1] == 2 and len(augment.transforms) == 15
    shares = np.bincount(draws.ravel(), minlength=15) / draws.size
    assert shares == pytest.approx(np.full(15, 1 / 15), abs=0.005)
    assert (draws[:, 0] == draws[:, 1]).mean() == pytest.approx(1 / 15, abs=0.006)


def test_each_op_with_probability_one_half(augment):
    for transform in augment.transforms:
        skipped = np.mean([transform.random_disable() for _ in range(4000)])
        assert skipped == pytest.approx(0.5, abs=0.04)


def test_levels_are_normal_and_clipped(augment):
    """N(9, 0.5) in [0, 10]: by hand, mean 8.99576 and 2.275 % at 10."""
    for name, transform in zip(TIMM_OPS, augment.transforms):
        if name not in LEVELLED:
            continue
        low, high = transform.magnitude_range
        values = np.array([transform.random_magnitude() for _ in range(20000)])
        levels = (values - low) / (high - low) * 10
        assert levels.mean() == pytest.approx(8.99576, abs=0.015)
        assert levels.std() == pytest.approx(0.4931, abs=0.015)
        assert levels.max() == pytest.approx(10)
        assert (levels > 10 - 1e-9).mean() == pytest.approx(0.02275, abs=0.005)


def test_half_of_the_directions_are_negative(augment):
    for name, transform in zip(TIMM_OPS, augment.transforms):
        signs = np.array([transform.random_negative(1.0) for _ in range(4000)])
        if name in GEOMETRIC_OPS:
            assert (signs < 0).mean() == pytest.approx(0.5, abs=0.04)
        elif name in LEVELLED:
            assert (signs > 0).all()


def test_an_op_that_is_drawn_twice_draws_its_level_twice(augment):
    """mmcv can cache random numbers of a transform; here nothing does."""
    transform = augment.transforms[TIMM_OPS.index('SolarizeAdd')]
    assert transform.random_magnitude() != transform.random_magnitude()


# --- random erasing ---


def test_erased_share_and_its_pixels(pipeline):
    """As the comment in the config has it: what clipping leaves of N(0, 1), and of the boxes."""
    np.random.seed(0)
    cfg = Config.fromfile(str(CONFIG))
    mean = np.array(cfg.model.data_preprocessor.mean)[::-1]  # images are BGR, RGB comes later
    std = np.array(cfg.model.data_preprocessor.std)[::-1]
    erase = build(step(pipeline, 'RandomErasing'))
    areas, pixels = [], []
    for _ in range(3000):
        # No value of 0..255 is -1: what is not -1 was erased.
        image = erase(dict(img=np.full((64, 64, 3), -1, dtype=np.int16)))['img']
        erased = (image >= 0).all(axis=2)
        if erased.any():
            rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
            box = (np.ptp(rows) + 1, np.ptp(columns) + 1)
            assert erased.sum() == box[0] * box[1]  # one rectangle
            areas.append(erased.mean())
            pixels.append((image[erased] - mean) / std)
    assert len(areas) / 3000 == pytest.approx(0.2, abs=0.03)
    assert min(areas) > 0.015 and max(areas) < 0.35
    assert np.mean(areas) == pytest.approx((0.02 + 1 / 3) / 2, abs=0.012)
    pixels = np.concatenate(pixels)
    assert np.abs(pixels.mean(axis=0)).max() < 0.012
    assert pixels.std(axis=0) == pytest.approx([0.964, 0.974, 0.973], abs=0.004)

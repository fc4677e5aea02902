"""What a file says of itself is what the model and its config say."""

import pytest
import torch

from cream_mm import create_model
from cream_mm.apis.predict import open_model
from cream_mm.deploy.describe import describe
from cream_mm.testing.tiny import tiny_space

ARCH = [[0], [0, 1], [1, 0], [0]]
LOAD = dict(type='LoadImageFromFile')


@pytest.fixture
def model(tmp_path):
    model = create_model(ARCH, num_classes=2, space=tiny_space())
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    model.weights_from, model.weights_averaged = tmp_path / 'a.pth', False
    model.cfg, model.dataset_meta = model._config, dict(classes=('ant', 'bee'))
    return model


def with_pipeline(model, *steps):
    model.cfg.test_dataloader.dataset.pipeline = [LOAD, *steps]
    return model


def test_the_size_is_that_of_the_pipeline_or_the_one_that_is_asked_for(model):
    about, _ = describe(model)
    assert about['input']['size'] == [224, 224]
    assert (about['resize']['size'], about['resize']['crop']) == (256, [224, 224])
    about, pipeline = describe(model, size=(64, 96))
    assert about['input']['size'] == about['resize']['crop'] == [64, 96]
    assert pipeline[1]['scale'] == about['resize']['size'] == 110  # as much as before is seen
    model.data_preprocessor.pad_size_divisor = 32
    about, _ = describe(with_pipeline(model, dict(type='Resize', scale=(40, 70))))
    assert about['input']['size'] == [96, 64]
    assert about['resize']['pad']['divisor'] == 32
    # The preprocessor pads zeros behind the normalisation.
    assert about['resize']['pad']['value'] == pytest.approx(about['normalisation']['mean'])


def test_a_pipeline_that_leaves_the_size_open_needs_one(model, capsys):
    with pytest.raises(ValueError, match='give --size H W'):
        describe(with_pipeline(model))
    about, _ = describe(with_pipeline(model, dict(type='ColorJitter')), size=(8, 8))
    assert about['resize'] is None
    assert 'the step ColorJitter' in capsys.readouterr().out


def test_the_average_of_a_training_is_said(model, tmp_path):
    """An export's folder, or any checkpoint, as open_model reads it."""
    path = tmp_path / 'ema.pth'
    torch.save(dict(state_dict=model.state_dict(), ema_state_dict={}), path)
    network = str([[0], [0], [3], [5], [2], [4], [0]])
    other = create_model(network, num_classes=2)
    torch.save(dict(state_dict=other.state_dict(), ema_state_dict={}), path)
    assert open_model(network, str(path), 'cpu').weights_averaged
    torch.save(dict(state_dict=other.state_dict()), path)
    opened = open_model(network, str(path), 'cpu')
    assert not opened.weights_averaged and opened.weights_from == path

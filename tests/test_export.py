"""A path of a space with identities becomes files, and these a network again."""

import json
from pathlib import Path

import pytest
import torch

import cream_mm
from cream_mm.export import export_arch
from cream_mm.models import CreamClsHead, CreamSupernet
from cream_mm.models.layers.init import init_cream_weights

ROOT = str(Path(__file__).parents[1])


@pytest.mark.parametrize('text', ['00000000', '01201201'])
def test_nas_bench_macro(tmp_path, text):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict(
        dict(backbone=CreamSupernet('nas_bench_macro'), head=CreamClsHead(10, 1280, None))
    ).eval()
    init_cream_weights(model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'supernet.pth')
    net, space = model['backbone'], model['backbone'].space
    content = dict(
        format='cream_mm.arch/1', arch=space.parse(text).to_list(), space=space.to_dict(),
        num_classes=10, head_channels=0, input_size=[32, 32],
    )  # fmt: skip
    (tmp_path / 'best_arch.json').write_text(json.dumps(content))
    files = export_arch(
        str(tmp_path / 'best_arch.json'),
        str(tmp_path / 'supernet.pth'),
        tmp_path / 'out',
        root=ROOT,
    )
    # A detector of the shipped kind takes seven stages.
    assert set(files) == {'arch', 'weights', 'retrain'}
    assert 'hidden_channels=0' in files['retrain'].read_text()
    images = torch.rand(2, 3, 32, 32)
    net.set_arch(space.parse(text))
    expected = model['head'](net(images))
    again = cream_mm.create_model(str(files['arch']), checkpoint=str(files['weights']))
    assert torch.equal(again(images), expected)
    features = cream_mm.create_model(
        str(files['arch']), checkpoint=str(files['weights']), features_only=True
    )
    assert features.out_channels == (64, 128, 256)
    by_name = cream_mm.create_model(text, num_classes=10, space='nas_bench_macro')
    costs = json.loads(files['arch'].read_text())['costs']
    assert sum(p.numel() for p in by_name.parameters()) == costs['params_m'] * 1e6
    assert by_name.state_dict().keys() == again.state_dict().keys()

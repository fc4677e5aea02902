"""What a run says of its detector's parts."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from test_part_costs import build

from cream_mm.engine.hooks import PartCostsHook
from cream_mm.engine.hooks import part_costs_hook as module
from cream_mm.engine.hooks.part_costs_hook import cost_lines, costs_of

LIGHT = 'detection/rtmdet-light_cream-287m_coco.py'


class _Logger(list):
    def info(self, line):
        self.append(line)

    warning = info


def runner_of(model, work_dir, **cfg):
    cfg = Config(dict(scale=(96, 64), **cfg))
    return SimpleNamespace(model=model, work_dir=str(work_dir), cfg=cfg, logger=_Logger())


def test_once_in_a_run(tmp_path, monkeypatch):
    _, model = build(LIGHT)
    runner = runner_of(model, tmp_path)
    PartCostsHook().before_train(runner)
    content = json.loads((tmp_path / 'part_costs.json').read_text())
    assert content['input_size'] == [64, 96]
    assert content['machine']['threads'] == torch.get_num_threads()
    assert len(runner.logger) == 1  # neck and head are cheap
    assert runner.logger[0].startswith('one image of 64 x 96: backbone 36 M, neck 4.5 M, ')

    # A run that goes on neither counts nor measures again; another size does.
    counted = []
    monkeypatch.setattr(module, 'costs_of', lambda *args: counted.append(args) or content)
    PartCostsHook().before_train(runner)
    assert not counted and runner.logger[1] == runner.logger[0]
    PartCostsHook().before_train(runner_of(model, tmp_path, input_size=32))
    (tmp_path / 'part_costs.json').write_text('{"input_size": [64')
    PartCostsHook().before_train(runner)
    assert [args[1] for args in counted] == [(32, 32), (64, 96)]


def test_a_large_head_is_said():
    _, model = build('retinanet_cream.py')
    content = costs_of(model, (320, 320), timed=False)
    first, second = cost_lines(content)
    # Checked layer by layer in test_part_costs.py.
    assert first == (
        'one image of 320 x 320: backbone 558 M, neck 1.3 G, heads 13.8 G of 15.6 G multiply-adds'
    )
    assert second == (
        'neck and heads cost 15.1 G of 15.6 G multiply-adds: a cheaper backbone saves at most 4 %. '
        'Those of configs/detection/rtmdet-light_cream-287m_coco.py cost 177 M at this size'
    )


def test_what_is_said_of_the_light_config():
    """The cost that the hook tells, and the numbers in the header of the config."""
    cfg, model = build(LIGHT)
    parts = costs_of(model, (320, 320), timed=False)['parts']
    rest = parts['neck']['macs_m'] + parts['heads']['macs_m']
    assert rest == pytest.approx(module.LIGHT_MACS_PER_PIXEL * 320 * 320 / 1e6, rel=1e-3)
    text = ' '.join(Path(cfg.filename).read_text().split())
    assert f'the backbone has {parts["backbone"]["macs_m"]:.0f} M multiply-adds' in text
    assert f'neck and head together {rest:.0f} M' in text
    others = {}
    for name in ('retinanet_cream.py', 'detection/rtmdet_cream-287m_8xb32-300e_coco.py'):
        found = costs_of(build(name)[1], (320, 320), timed=False)['parts']
        others[name] = f'{found["neck"]["macs_m"] + found["heads"]["macs_m"]:,.0f} M'
    assert all(number in text for number in others.values()), others


def test_a_model_that_cannot_be_run_is_trained_all_the_same(tmp_path):
    _, model = build(LIGHT)
    model.neck.forward = lambda inputs: inputs[5]
    runner = runner_of(model, tmp_path)
    PartCostsHook().before_train(runner)
    assert 'the parts of RTMDet cost is not known' in runner.logger[0]
    assert not list(tmp_path.iterdir())
    other = runner_of(torch.nn.Linear(1, 1), tmp_path)
    PartCostsHook().before_train(other)
    assert not other.logger


def test_a_path_has_its_own_parameters():
    _, model = build('demo/search_retinanet_digits.py')
    content = costs_of(model, (96, 96), timed=False)
    costs = model.backbone.budget.cost_model
    arch = costs.space.parse(content['arch'])
    parts = content['parts']
    assert parts['backbone']['params_m'] == costs.cost(arch).params / 1e6
    assert parts['whole']['params_m'] == pytest.approx(
        sum(parts[name]['params_m'] for name in ('backbone', 'neck', 'heads'))
    )
    assert cost_lines(content)[0].endswith('with the path in the middle of the budget')

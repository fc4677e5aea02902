"""Testing with augmentation, as a config says it or mirrored."""

import pytest
from mmengine.config import Config

from cream_mm.config.tta import use_tta
from cream_mm.registry import type_name


def config(packed_by, **more):
    steps = [dict(type='cream_mm.LoadImageFromFile'), dict(type=packed_by, meta_keys=('img_path',))]
    loader = dict(dataset=dict(type='X', pipeline=steps))
    return Config(dict(model=dict(type='M'), test_dataloader=loader, test_cfg=dict(), **more))


@pytest.mark.parametrize(
    ('packed_by', 'merged_by'),
    [('PackInputs', 'AverageClsScoreTTA'), ('mmdet.PackDetInputs', 'DetTTAModel')],
)
def test_mirrored(packed_by, merged_by):
    cfg = config(packed_by)
    use_tta(cfg)
    assert type_name(cfg.model.type) == merged_by and cfg.model.module == dict(type='M')
    load, both = cfg.test_dataloader.dataset.pipeline
    assert load.type == 'cream_mm.LoadImageFromFile' and type_name(both.type) == 'TestTimeAug'
    flips, packing = both.transforms
    assert [type_name(step.type) for step in flips] == ['RandomFlip'] * 2
    assert [step.prob for step in flips] == [1, 0]
    assert packing == [dict(type=packed_by, meta_keys=('img_path', 'flip', 'flip_direction'))]


def test_what_the_config_says_is_taken():
    mine = dict(tta_model=dict(type='Mine', a=1), tta_pipeline=[dict(type='Mine')])
    cfg = config('PackInputs', **mine)
    use_tta(cfg)
    assert cfg.model == dict(type='Mine', a=1, module=dict(type='M'))
    assert cfg.test_dataloader.dataset.pipeline == mine['tta_pipeline']


def test_a_part_of_a_set():
    cfg = config('PackInputs')
    cfg.test_dataloader.dataset = dict(type='Part', dataset=cfg.test_dataloader.dataset)
    use_tta(cfg)
    inner = cfg.test_dataloader.dataset.dataset
    assert type_name(inner.pipeline[-1].type) == 'TestTimeAug'


@pytest.mark.parametrize('case', ['a search', 'no pipeline', 'another packing'])
def test_one_clear_error(case):
    cfg = config('PackInputs')
    if case == 'a search':
        cfg.test_cfg.type = 'cream_mm.SearchLoop'
    elif case == 'no pipeline':
        del cfg.test_dataloader.dataset.pipeline
    else:
        cfg.test_dataloader.dataset.pipeline[-1].type = 'PackSegInputs'
    with pytest.raises(ValueError, match='--tta needs the config of one classifier or detector'):
        use_tta(cfg)

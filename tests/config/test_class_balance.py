"""What class_balance makes of a config."""

import pytest
from mmengine.config import Config

from cream_mm.config.class_balance import fit_class_balance


def config(**kwargs):
    sampler = dict(type='DefaultSampler', shuffle=True)
    return Config(dict(model=dict(head={}), train_dataloader=dict(sampler=sampler), **kwargs))


def test_sampling_and_weights():
    cfg = config(class_balance='sampling')
    for _ in range(2):  # of its own dump, too
        fit_class_balance(cfg)
        sampler = dict(type='cream_mm.BalancedSampler', shuffle=True)
        assert cfg.train_dataloader.sampler == sampler and 'custom_hooks' not in cfg
    cfg = config(class_balance='weights', custom_hooks=[dict(type='EMAHook')])
    for _ in range(2):
        fit_class_balance(cfg)
        assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'cream_mm.ClassWeightsHook']
    fit_class_balance(cfg := config())
    assert cfg.to_dict() == config().to_dict()


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(class_balance='weight'), "'sampling', 'weights' or None; got 'weight'"),
        (dict(class_balance='weights', multi_label=True), 'these have several'),
        (dict(class_balance='sampling', model=dict(bbox_head={})), 'ClassBalancedDataset'),
        (
            dict(class_balance='sampling', train_dataloader=dict(sampler=dict(type='RASampler'))),
            'RASampler',
        ),
    ],
)
def test_what_it_cannot_do_is_refused(changes, message):
    cfg = config()
    cfg.update(changes)
    with pytest.raises(ValueError, match=message):
        fit_class_balance(cfg)

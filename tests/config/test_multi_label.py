import pytest
from mmengine.config import Config

from cream_mm.config.multi_label import METRIC, fit_multi_label


def config(head, **more):
    return Config(dict(model=dict(type='mmpretrain.ImageClassifier', head=head), **more))


HEAD = dict(type='cream_mm.CreamClsHead', num_classes=3)
BOTH = ['mmpretrain.AveragePrecision', 'mmpretrain.MultiLabelMetric']


def test_label_smoothing_is_left_out_and_weights_stay():
    smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
    cfg = config(dict(HEAD, topk=(1,), loss=smooth))
    fit_multi_label(cfg)
    assert cfg.model.head == dict(type='cream_mm.CreamMultiLabelClsHead', num_classes=3)
    weighted = dict(type='CrossEntropyLoss', class_weight=[1, 2, 3])
    cfg = config(dict(HEAD, loss=weighted))
    fit_multi_label(cfg)
    assert cfg.model.head.loss == dict(weighted, use_sigmoid=True)


def test_metrics_and_the_best_checkpoint():
    cfg = config(
        HEAD,
        val_evaluator=[dict(type='Accuracy', topk=(1,)), dict(type='mmpretrain.AveragePrecision')],
        test_evaluator=dict(type='Accuracy'),
        default_hooks=dict(checkpoint=dict(save_best='accuracy/top1')),
        test_cfg=dict(type='cream_mm.SearchLoop'),
    )
    fit_multi_label(cfg)
    kinds = [[m.type for m in cfg[f'{side}_evaluator']] for side in ('val', 'test')]
    assert kinds == [BOTH[1:] + BOTH[:1], BOTH]
    assert cfg.default_hooks.checkpoint == dict(save_best=METRIC, rule='greater')
    assert cfg.test_cfg.metric == METRIC
    before = cfg.to_dict()
    fit_multi_label(cfg)  # as of a dumped config
    assert cfg.to_dict() == before


def test_what_is_chosen_stays():
    mine = dict(type='MultiLabelMetric', topk=1)
    cfg = config(
        dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=8),
        test_evaluator=mine,
        test_cfg=dict(type='cream_mm.SearchLoop', metric='multi-label/f1-score_top1'),
    )
    before = cfg.to_dict()
    fit_multi_label(cfg)
    assert cfg.to_dict() == before


def test_a_head_of_one_label_is_refused():
    cfg = config(dict(type='mmpretrain.ArcFaceClsHead', num_classes=3, in_channels=8))
    with pytest.raises(ValueError, match='model.head=ArcFaceClsHead gives one: take cream_mm.Cre'):
        fit_multi_label(cfg)

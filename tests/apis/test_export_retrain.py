"""How the config of a classifier begins: with weights, and with a teacher where there is one."""

from pathlib import Path

import pytest

from cream_mm.apis.export_config import FULL_ABOVE, WEIGHTS_BESIDE
from cream_mm.apis.export_retrain import fine_tune, fine_tunes, retrain_config
from cream_mm.config.carry import entries, read_config
from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content
from cream_mm.files.slice_of import slice_content
from cream_mm.spaces import ElasticSpace, MBConvSpace

CONFIGS = Path(__file__).parents[2] / 'configs'
FULL = [[0], [2, 2], [5, 5], [2, 2, 2], [5, 5, 5], [5, 5, 5, 5], [2], [0]]


def retrain(space, path):
    """The config of a slice, and what its file says."""
    costs = build_cost_model(space, 96, num_classes=3)
    network, its_costs = costs.network(path)
    about = arch_content(network, its_costs, **slice_content(costs, path))
    base = read_config(CONFIGS / 'photos/finetune.py')[0]
    assert fine_tunes(base)
    return retrain_config(base, network, its_costs.space, about), about


@pytest.fixture(scope='module')
def small():
    space = ElasticSpace('lite0', FULL, expansions=(6, 3), input_sizes=(96, 64))
    cfg, about = retrain(space, space.smallest_path)
    return cfg, fine_tune(cfg, about, with_weights=True, teacher=FULL_ABOVE)


def test_it_begins_with_its_own_weights(small):
    cfg, lines = small
    assert cfg.load_from is WEIGHTS_BESIDE and lines[0] == 'It starts from weights.pth beside it.'
    checkpoints = [node[key] for node, key in entries(cfg.model.to_dict()) if key == 'checkpoint']
    assert checkpoints == [FULL_ABOVE] and not fine_tunes(cfg)  # none of lite0


def test_the_teacher_is_the_full_network_and_sees_whole_images(small):
    cfg, lines = small
    teacher = cfg.model.teacher
    assert MBConvSpace.build(teacher.backbone.space).parse(teacher.backbone.arch).to_list() == FULL
    assert cfg.model.backbone.arch != FULL
    assert teacher.head.type == cfg.model.head.type and teacher.head.num_classes == 3
    assert teacher.head.in_channels == 320 and 'loss' not in teacher.head
    assert cfg.input_size == cfg.model.input_size == 64
    assert cfg.train_dataloader.dataset.pipeline[1].scale == 96
    assert [step.get('scale', step.get('crop_size')) for step in cfg.test_pipeline[1:3]] == [73, 64]
    assert lines[-1].endswith('images of 96 pixels; the network the same ones, reduced to 64.')


@pytest.mark.parametrize(
    ('split', 'kept'),
    [
        (dict(holdout=0.2), {}),  # what 'auto' holds out is among them
        (dict(holdout='auto', split_seed=3), dict(split_seed=3)),
        (dict(holdout=0.05, split_seed=0), dict(holdout=0.05)),
        (None, {}),
    ],
)
def test_nothing_is_held_out_that_the_search_was_trained_on(split, kept):
    space = ElasticSpace('lite0', FULL, expansions=(6, 3))
    costs = build_cost_model(space, 96, num_classes=3)
    network, its_costs = costs.network(space.full_path)
    for folders in ({}, dict(train='photos', val='photos')):
        base = read_config(CONFIGS / 'photos/finetune.py')[0]
        about = arch_content(network, its_costs, split=split, folders=folders)
        cfg = retrain_config(base, network, its_costs.space, about)
        train, val = (cfg[f'{side}_dataloader'].dataset for side in ('train', 'val'))
        expected = kept if not folders else dict(holdout='auto') | kept
        keys = ('holdout', 'split_seed')
        assert {key: train[key] for key in keys if key in train} == expected
        if folders:
            assert (train.part, val.part) == ('train', 'holdout')
            assert {key: val[key] for key in keys if key in val} == expected


def test_at_the_full_size_nothing_is_reduced():
    space = ElasticSpace('lite0', FULL, expansions=(6, 3))
    cfg, about = retrain(space, space.smallest_path)
    assert len(fine_tune(cfg, about, with_weights=False, teacher=FULL_ABOVE)) == 1
    assert 'input_size' not in cfg.model and 'load_from' not in cfg
    assert cfg.train_dataloader.dataset.pipeline[1].scale == cfg.input_size == 96


def test_without_the_full_network_there_is_no_teacher():
    space = ElasticSpace('lite0', FULL, input_sizes=(96, 64))
    cfg, about = retrain(space, space.smallest_path)
    lines = fine_tune(cfg, about, with_weights=True)
    assert cfg.model.teacher is None and 'The labels alone train it.' in lines[-1]
    assert cfg.train_dataloader.dataset.pipeline[1].scale == 64


def test_what_trains_from_scratch_stays_so():
    assert not fine_tunes(read_config(CONFIGS / 'cream/retrain_imagenet.py')[0])

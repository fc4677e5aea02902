import math
import random
import re
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from cream_mm.config.load import load_config
from cream_mm.config.value_ranges import RULES, check_values

ROOT = Path(__file__).parents[2]
SEARCH = str(ROOT / 'configs/cream/search_imagenet.py')
RETRAIN = str(ROOT / 'configs/cream/retrain_imagenet.py')
BLOCKS = str(ROOT / 'configs/dna/search_lite.py')
DETECTOR = str(ROOT / 'configs/spos/search_retinanet_coco.py')

COUNT = 'it is a whole number of at least 1'
SHARE = 'it is a share, 0 to 1'
NAO = str(ROOT / 'configs/nao_v2/search_cifar10.py')
CLOSE = str(ROOT / 'configs/close/search_nb201.py')
EPOCHS = 'it is a list of epochs from 1 on, or shares of the run below 1'
WRONG = [  # config, options as mmengine parses them, the whole line
    (SEARCH, dict(batch_size=0), f'batch_size is 0; {COUNT}'),
    (SEARCH, dict(batch_size=-4), f'batch_size is -4; {COUNT}'),
    (SEARCH, dict(batch_size=2.5), f'batch_size is 2.5; {COUNT}'),
    (SEARCH, dict(batch_size=16.0), f'batch_size is 16.0; {COUNT}, written without a point'),
    (SEARCH, dict(batch_size='16'), f"batch_size is '16'; {COUNT}, written without quotes"),
    (SEARCH, dict(batch_size=True), f'batch_size is True; {COUNT}'),
    (SEARCH, dict(batch_size=None), f'batch_size is None; {COUNT}'),
    (SEARCH, {'val_dataloader.batch_size': 0}, f'val_dataloader.batch_size is 0; {COUNT}'),
    (SEARCH, dict(num_workers=-1), 'num_workers is -1; it is a whole number of at least 0'),
    (SEARCH, dict(max_epochs=1.5), f'max_epochs is 1.5; {COUNT}'),
    (SEARCH, dict(max_epochs=0), 'max_epochs is a number of epochs, 1 or more; got 0'),
    (SEARCH, dict(max_epochs=math.inf), 'max_epochs is a number of epochs, 1 or more; got inf'),
    (SEARCH, {'train_cfg.val_interval': 0}, f'train_cfg.val_interval is 0; {COUNT}'),
    (NAO, {'train_cfg.strategy.num_seeds': 0}, f'train_cfg.strategy.num_seeds is 0; {COUNT}'),
    (
        NAO,
        {'train_cfg.strategy.held_share': 1},
        'train_cfg.strategy.held_share is 1; it is a number of at least 0 and below 1, or None',
    ),
    (CLOSE, {'custom_hooks.0.schedule': 3}, f'custom_hooks.0.schedule is 3; {EPOCHS}'),
    (CLOSE, {'custom_hooks.0.restart_at': [-1]}, f'custom_hooks.0.restart_at is (-1,); {EPOCHS}'),
    (
        CLOSE,
        {'param_scheduler.0.patience': -1},
        'param_scheduler.0.patience is -1; it is a whole number of at least 0',
    ),
    (
        CLOSE,
        {'model.backbone.router.num_banks': 0},
        f'model.backbone.router.num_banks is 0; {COUNT}, or None',
    ),
    (
        SEARCH,
        {'optim_wrapper.optimizer.lr': math.nan},
        'optim_wrapper.optimizer.lr is nan; it is a finite number above 0',
    ),
    (
        SEARCH,
        {'optim_wrapper.optimizer.lr': 0},
        'optim_wrapper.optimizer.lr is 0; it is a finite number above 0',
    ),
    (
        SEARCH,
        {'optim_wrapper.optimizer.lr': [0, 1]},  # lr=0,1
        'optim_wrapper.optimizer.lr is [0, 1]; it is a finite number above 0',
    ),
    (
        SEARCH,
        {'optim_wrapper.optimizer.momentum': math.nan},
        'optim_wrapper.optimizer.momentum is nan; it is a number of at least 0 and below 1',
    ),
    (
        SEARCH,
        {'optim_wrapper.optimizer.weight_decay': -1e-4},
        'optim_wrapper.optimizer.weight_decay is -0.0001; it is a finite number of at least 0',
    ),
    (SEARCH, {'test_cfg.num_bn_images': 0}, f'test_cfg.num_bn_images is 0; {COUNT}'),
    (SEARCH, {'test_cfg.num': 0}, f'test_cfg.num is 0; {COUNT}'),
    (SEARCH, {'model.board.capacity': 0}, f'model.board.capacity is 0; {COUNT}'),
    (SEARCH, {'model.board.score_gap': 'x'}, "model.board.score_gap is 'x'; it is a finite number"),
    (
        SEARCH,
        {'custom_hooks.1.interval': 0},
        f'custom_hooks.1.interval is 0; {COUNT}, or -1 for never',
    ),
    (
        SEARCH,
        dict(holdout=1.5),
        'holdout is 1.5; it is a share between 0 and 1 (of UnlabelledImages also a number of '
        "images), or 'auto'",
    ),
    (SEARCH, dict(num_classes=0), f'num_classes is 0; {COUNT}'),
    (SEARCH, dict(num_classes='ten'), f"num_classes is 'ten'; {COUNT}"),
    (
        SEARCH,
        dict(input_size=0),
        'input_size is 0; it is a whole number of pixels, at least 1, or two of them, height and '
        'width',
    ),
    (
        SEARCH,
        {'randomness.seed': 'abc'},
        "randomness.seed is 'abc'; it is a whole number, 0 to 4294967295, or None",
    ),
    (
        SEARCH,
        {'param_scheduler.0.end': 0},
        'param_scheduler.0.end is 0; it is above begin, which is 0',
    ),
    (
        SEARCH,
        {'model.backbone.space.depths': 4},
        'model.backbone.space.depths is 4; it is a list of whole numbers of at least 1',
    ),
    (
        BLOCKS,
        {'model.blocks': [1, 0]},
        'model.blocks is [1, 0]; it is a list of whole numbers of at least 1, or None',
    ),
    (
        BLOCKS,
        {'model.late_bn_momentum': 1.5},
        'model.late_bn_momentum is 1.5; it is a share above 0, at most 1, or None',
    ),
    (BLOCKS, {'test_cfg.num_bn_images': 0}, f'test_cfg.num_bn_images is 0; {COUNT}'),
    (
        BLOCKS,
        {'test_cfg.max_gb': -1},
        'test_cfg.max_gb is -1; it is a finite number of at least 0',
    ),
    (
        BLOCKS,
        {'model.backbone.space.bn_eps': 0},
        'model.backbone.space.bn_eps is 0; it is a finite number above 0, or None',
    ),
    *(
        (
            BLOCKS,
            {'model.backbone.space.cells': cells},
            f'model.backbone.space.cells is {cells!r}; it is a list, for each block, of its cells '
            '(layers, width), whole numbers of at least 1',
        )
        for cells in (3, [[]], [[(1, 8)], (2, 16)], [[(1, 0)]], [[(1, 8, 2)]], [[(1.5, 8)]])
    ),
    *(
        (
            BLOCKS,
            {'optim_wrapper.paramwise_cfg.rates': rates},
            f'optim_wrapper.paramwise_cfg.rates is {rates!r}; it is a dictionary of factors on the '
            "rate, by what parameters' names begin with, or None",
        )
        for rates in ('all', 0.4)
    ),
    (
        RETRAIN,
        {'model.head.hidden_channels': -1},
        'model.head.hidden_channels is -1; it is a whole number of at least 0, or a list of such, '
        'or None',
    ),
    (RETRAIN, {'model.head.dropout': 1.5}, f'model.head.dropout is 1.5; {SHARE}'),
    (
        RETRAIN,
        {'param_scheduler.0.warmup_epochs': 'x'},
        "param_scheduler.0.warmup_epochs is 'x'; it is a finite number of at least 0",
    ),
    (
        RETRAIN,
        {'custom_hooks.0.momentum': 2},
        'custom_hooks.0.momentum is 2; it is a share above 0, at most 1',
    ),
    (
        DETECTOR,
        {'optim_wrapper.clip_grad.max_norm': math.nan},
        'optim_wrapper.clip_grad.max_norm is nan; it is a number above 0',
    ),
    (
        DETECTOR,
        {'model.test_cfg.nms.iou_threshold': 5},
        f'model.test_cfg.nms.iou_threshold is 5; {SHARE}',
    ),
    (
        DETECTOR,
        {'model.bbox_head.loss_cls.loss_weight': 'x'},
        "model.bbox_head.loss_cls.loss_weight is 'x'; it is a finite number of at least 0, "
        'or a list of such',
    ),
]


@pytest.mark.parametrize(('path', 'options', 'line'), WRONG, ids=[line for *_, line in WRONG])
def test_one_line_says_place_value_and_rule(path, options, line):
    with pytest.raises(ValueError) as caught:
        load_config(path, options, check_data=False)
    assert str(caught.value) == line


RANGE = 'it is a range (low, high) in millions, low <= high; None leaves an end open'


@pytest.mark.parametrize(
    'bound',
    [('300', '400'), (400, 300), (), (300,), 300, (math.nan, 400), (1, 2, 3), (300, -400), 'all'],
    ids=str,
)
def test_budgets_that_are_none(bound):
    place = 'model.backbone.budget'
    with pytest.raises(ValueError, match=re.escape(f'{place}.macs_m is {bound!r}; {RANGE}')):
        check_values(dict(model=dict(backbone=dict(budget=dict(macs_m=bound)))))
    with pytest.raises(ValueError, match='budget is 300; it is a dictionary of ranges, such as'):
        check_values(dict(budget=300))
    with pytest.raises(ValueError, match='latency_ms.*milliseconds'):
        check_values(dict(budget=dict(latency_ms=bound)))


@pytest.mark.parametrize('bound', [(0, 600), [300, 400], (None, 400), (300, None), (2.3, 2.3)])
def test_budgets_that_are_right(bound):
    check_values(dict(budget=dict(macs_m=bound)))
    check_values(dict(budget={}, model=dict(budget=None)))


@pytest.mark.parametrize(
    'content',
    [
        dict(optim_wrapper=dict(clip_grad=dict(max_norm=math.inf))),  # only logs the norm
        dict(optim_wrapper=dict(clip_grad=dict(max_norm=35, norm_type='inf'))),
        dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        dict(default_hooks=dict(checkpoint=dict(interval=-1, max_keep_ckpts=-1))),
        dict(param_scheduler=[dict(type='LinearLR', begin=0, end=math.inf, by_epoch=False)]),
        # Longer than the training: the run ends on the way up, which small sets do.
        dict(max_epochs=3, param_scheduler=dict(type='LinearLR', by_epoch=False, end=10**6)),
        dict(custom_hooks=[dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=37)])]),
        dict(randomness=dict(seed=None), test_cfg=dict(num_images=None)),
        # What an export of DNA's space has: no convolution in the head.
        dict(model=dict(head=dict(type='cream_mm.CreamClsHead', hidden_channels=0))),
        dict(optim_wrapper=dict(paramwise_cfg=dict(rates={'backbone.': 0.4, 'backbone.x.': 1}))),
        dict(train_dataloader=dict(batch_size=np.int64(16))),
        dict(data_preprocessor=dict(mean=[0, 0, 0], std=[np.float32(1)] * 3)),
        dict(model=dict(backbone=dict(frozen_stages=-1, out_indices=[-1]))),
        dict(my_settings=dict(momentum='high', scale='large', size=None, num='all')),  # own words
    ],
    ids=str,
)
def test_right_values_pass(content):
    check_values(content)


def test_the_top_level_is_named_first():
    """A value that was carried on is wrong in many places, and was given in one."""
    content = dict(train_dataloader=dict(batch_size=0), batch_size=0)
    with pytest.raises(ValueError, match='^batch_size is 0'):
        check_values(content)


def test_nan_is_right_nowhere():
    with pytest.raises(ValueError, match=r'model\.neck\.anything is \[1\.0, nan\]; nan is no'):
        check_values(dict(model=dict(neck=dict(anything=[1.0, math.nan]))))


def test_a_rule_holds_below_its_place_and_nowhere_else():
    check_values(dict(momentum=7, model=dict(norm_cfg=dict(momentum=None))))
    with pytest.raises(ValueError, match=r'^optim_wrapper\.model\.optimizer\.momentum is 7'):
        check_values(dict(optim_wrapper=dict(model=dict(optimizer=dict(momentum=7)))))
    step = dict(type='RandomFlip', prob=2)
    with pytest.raises(ValueError, match=r'^custom_hooks\.0\.switch_pipeline\.0\.prob is 2'):
        check_values(dict(custom_hooks=[dict(switch_pipeline=[step])]))


def test_no_rule_is_met_by_a_text_or_nan():
    texts = {"'auto'", "'global'", "'epoch'", "'dynamic'", "'inf'"}
    for name, rule in RULES.items():
        assert not rule.holds(math.nan), name
        assert not rule.holds('16'), name
        assert not rule.holds(True), name
        assert all(repr(word) in texts for word in re.findall(r"'(\w+)'", rule.sentence)), name


def test_no_false_alarm_in_configs_of_openmmlab():
    _check_all(_openmmlab_configs(), some=40)


@pytest.mark.slow
def test_no_false_alarm_in_any_config_of_openmmlab():
    assert _check_all(_openmmlab_configs()) > 1000


def _openmmlab_configs():
    paths = []
    for packages in site.getsitepackages():
        paths += sorted(Path(packages).glob('mm*/.mim/configs/**/*.py'))
    if not paths:
        pytest.skip('their configs are not installed')
    return paths


def _check_all(paths, some=None):
    """How many were read: a few of theirs inherit from a file that is not there."""
    random.Random(0).shuffle(paths)
    number = 0
    for path in paths[:some]:
        try:
            content = Config.fromfile(str(path)).to_dict()
        except (FileNotFoundError, KeyError, RuntimeError):
            continue
        check_values(content)
        number += 1
    return number


def test_it_needs_no_torch(tmp_path):
    """The module alone, as it stands: nothing heavy is imported to refuse a value."""
    source = ROOT / 'cream_mm/config/value_ranges.py'
    (tmp_path / 'value_ranges.py').write_text(source.read_text())
    code = (
        'import sys; from value_ranges import check_values\n'
        'try: check_values(dict(batch_size=0))\n'
        'except ValueError as error: print(error)\n'
        'print({"torch", "mmengine", "numpy"} & {name.split(".")[0] for name in sys.modules})'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == f'batch_size is 0; {COUNT}\nset()\n'

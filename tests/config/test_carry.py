"""A config that inherits carries its values as the command line does."""

from pathlib import Path

import pytest
from mmengine.config import Config

from cream_mm.config import carry as config_carry
from cream_mm.config.carry import override, read_config, set_values
from cream_mm.config.load import load_config

ROOT = Path(__file__).parents[2]
SEARCH = str(ROOT / 'configs/cream/search_imagenet.py')
RETRAIN = str(ROOT / 'configs/cream/retrain_imagenet.py')
RETINANET = str(ROOT / 'configs/retinanet_cream.py')
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if p.parent.name != '_base_')
KINDS = [
    path for path in CONFIGS
    if path.stem in ('search_imagenet', 'search_cream-14m', 'retrain_cream-14m', 'spos', 'cream',
                     'search_digits', 'retinanet_digits', 'rtmdet_cream-287m_8xb32-300e_coco')
]  # fmt: skip
VALUES = dict(
    data_root='data/mine', max_epochs=3, batch_size=2, input_size=64, num_classes=7, num_workers=0,
)  # fmt: skip

BASE = """
data_root = 'data/a'
batch_size = 128
max_epochs = 10
budget = dict(macs_m=(0, 600))
sizes = [32, 64]
model = dict(budget=budget, sizes=sizes)
pipeline = [dict(type='Load', root=data_root + '/x')]
val_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root, pipeline=pipeline))
test_dataloader = val_dataloader
train_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(type='LinearLR', begin=0, end=max_epochs)]
"""


@pytest.fixture
def child(tmp_path):
    """Writes a file that inherits from BASE, or from another; the second reads it."""

    def write(text, base='base.py', name='child.py'):
        (tmp_path / 'base.py').write_text(BASE)
        path = tmp_path / name
        path.write_text(f'_base_ = {base!r}\n{text}\n')
        return read_config(path)

    return write


def plain(cfg):
    return config_carry._plain(cfg._cfg_dict.to_dict())


# --- the configs of this repository ---


@pytest.mark.parametrize('path', KINDS, ids=lambda p: p.stem)
def test_a_child_carries_what_the_command_line_carries(path, tmp_path):
    values = {k: v for k, v in VALUES.items() if k in Config.fromfile(str(path))}
    assert len(values) >= 5
    text = ''.join(f'{name} = {value!r}\n' for name, value in values.items())
    (tmp_path / 'child.py').write_text(f'_base_ = {str(path)!r}\n{text}')
    cfg = load_config(str(tmp_path / 'child.py'), check_data=False)
    assert plain(cfg) == plain(load_config(str(path), values, check_data=False))
    assert cfg.train_dataloader.dataset.data_root == 'data/mine'
    assert cfg.train_dataloader.batch_size == 2 and cfg.train_cfg.max_epochs == 3
    if path.stem not in ('search_imagenet', 'spos'):
        return
    cfg.dump(tmp_path / 'flat.py')  # as a run writes it
    assert plain(load_config(str(tmp_path / 'flat.py'), check_data=False)) == plain(cfg)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_the_files_here_say_all_themselves(path):
    """So that plain mmengine reads the same from them; only a helper variable may differ."""
    cfg, _ = read_config(path)
    old, new = plain(Config.fromfile(str(path))), plain(cfg)
    assert {key for key in new if new[key] != old[key]} <= {'val_set'}


def test_by_hand(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(f'_base_ = {SEARCH!r}\nbudget = dict(macs_m=(30, 40))\ninput_size = 64\n'
                    "max_epochs = 60\ndata_root = '/x'\nnum_classes = 5")  # fmt: skip
    cfg = load_config(str(path), check_data=False)
    assert tuple(cfg.model.budget.macs_m) == (30, 40)
    assert cfg.model.input_size == 64
    crop, resize = cfg.train_dataloader.dataset.pipeline[1], cfg.test_cfg.bn_dataset.pipeline[1]
    assert (crop.scale, resize.scale) == (64, 73)
    assert cfg.param_scheduler[0].end == 60
    assert cfg.custom_hooks[1].dataset.data_root == '/x'
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 5


@pytest.mark.parametrize('reader', ['mmengine', 'cream_mm'])
@pytest.mark.parametrize('path', KINDS, ids=lambda p: p.stem)
def test_a_file_can_carry_for_every_reader(path, reader, tmp_path):
    """What ``set_values(_base_, ...)`` sets is as if it were set on the command line."""
    values = {k: v for k, v in VALUES.items() if k in Config.fromfile(str(path))}
    (tmp_path / 'child.py').write_text(
        f'_base_ = {str(path)!r}\nfrom cream_mm.config import set_values\n\n'
        f'set_values(_base_, **{values!r})\n'
    )
    (tmp_path / 'grandchild.py').write_text("_base_ = './child.py'\n")

    def read(file):
        return Config.fromfile(str(file)) if reader == 'mmengine' else read_config(file)[0]

    by_command_line = read(path)
    override(by_command_line, values)
    for name in ('child', 'grandchild'):
        cfg = read(tmp_path / f'{name}.py')
        assert plain(cfg) == plain(by_command_line)
        assert 'set_values' not in cfg


@pytest.mark.parametrize('reader', [Config.fromfile, lambda path: read_config(path)[0]])
def test_a_file_that_carries_two_that_belong_together(reader, tmp_path):
    """As test_switch_epoch_moves_the_intervals below."""
    base = ROOT / 'configs/detection/rtmdet_cream-287m_8xb32-300e_coco.py'
    (tmp_path / 'child.py').write_text(
        f'_base_ = {str(base)!r}\nfrom cream_mm.config import set_values\n\n'
        'set_values(_base_, switch_epoch=90, max_epochs=100)\n'
    )
    cfg = reader(str(tmp_path / 'child.py'))
    assert (cfg.switch_epoch, cfg.custom_hooks[1].switch_epoch) == (90, 90)
    assert cfg.train_cfg.dynamic_intervals == [(90, 1)] and cfg.train_cfg.max_epochs == 100


def test_set_values_by_hand():
    base = dict(
        input_size=224,
        budget=dict(macs_m=(0, 600)),
        model=dict(input_size=224, budget=dict(macs_m=[0, 600]), head=dict(channels=224)),
        pipeline=[dict(scale=224), dict(scale=256), dict(crop_size=224), dict(scale=225)],
    )
    set_values(base, input_size=96, budget=dict(params_m=(0, 5)))
    assert base == dict(
        input_size=96,
        budget=dict(params_m=(0, 5)),
        model=dict(input_size=96, budget=dict(params_m=(0, 5)), head=dict(channels=224)),
        pipeline=[dict(scale=96), dict(scale=110), dict(crop_size=96), dict(scale=225)],
    )
    assert base['budget'] is not base['model']['budget']
    with pytest.raises(KeyError, match='input_sise'):
        set_values(base, input_sise=64)


# --- what a file sets itself ---


def test_an_explicit_place_keeps_its_value_even_if_it_is_the_old_one(child):
    cfg, places = child('batch_size = 2\nval_dataloader = dict(batch_size=128)')
    assert cfg.train_dataloader.batch_size == 2 and cfg.val_dataloader.batch_size == 128
    assert places['batch_size'] == ['train_dataloader.batch_size']
    cfg = Config.fromfile(cfg.filename.replace('child', 'base'))
    override(cfg, {'batch_size': 2, 'val_dataloader.batch_size': 128})
    assert cfg.train_dataloader.batch_size == 2 and cfg.val_dataloader.batch_size == 128


def test_an_explicit_schedule_is_not_stretched(child):
    text = "max_epochs = 5\nparam_scheduler = [dict(type='LinearLR', end=4)]"
    assert child(text)[0].param_scheduler == [dict(type='LinearLR', end=4)]
    cfg, places = child('max_epochs = 5')
    assert cfg.param_scheduler[0].end == cfg.train_cfg.max_epochs == 5
    assert places == {'max_epochs': ['param_scheduler.0', 'train_cfg.max_epochs']}
    cfg = Config.fromfile(cfg.filename.replace('child', 'base'))
    override(cfg, {'max_epochs': 5, 'param_scheduler.0.end': 4})
    assert cfg.param_scheduler[0].end == 4 and cfg.train_cfg.max_epochs == 5


def test_delete(child):
    cfg, _ = child('budget = dict(_delete_=True, params_m=(0, 5))')
    assert plain(cfg)['budget'] == plain(cfg)['model']['budget'] == {'params_m': [0, 5]}
    cfg, _ = child('data_root = "b"\nval_dataloader = dict(_delete_=True, batch_size=1)')
    assert cfg.val_dataloader == cfg.test_dataloader == dict(batch_size=1)
    assert cfg.train_dataloader.dataset.data_root == 'b'


def test_part_of_a_dict_and_a_list(child):
    cfg, places = child('budget = dict(params_m=(0, 5))\nsizes = [1, 2, 3]')
    assert plain(cfg)['model']['budget'] == {'macs_m': [0, 600], 'params_m': [0, 5]}
    assert cfg.model.sizes == [1, 2, 3]
    assert places == {'budget': ['model.budget'], 'sizes': ['model.sizes']}
    cfg.budget.macs_m = None  # its own copy in each place
    assert cfg.model.budget.macs_m == (0, 600)


def test_equal_values_carry_nothing(child):
    cfg, places = child("data_root = 'data/a'\nbatch_size = 128\nmax_epochs = 10")
    assert places == {} and plain(cfg) == plain(Config.fromfile(cfg.filename))


# --- what a file takes from its bases ---


@pytest.mark.parametrize('text', ['_base_.pipeline', '{{_base_.pipeline}}'])
def test_what_is_taken_over_is_carried(child, text):
    cfg, places = child(f"data_root = 'b'\ntest_cfg = dict(pipeline={text})")
    assert cfg.test_cfg.pipeline == [dict(type='Load', root='b/x')]
    assert len(places['data_root']) == 6  # and each loader's folder, two pipelines


def test_a_value_made_from_the_base(child):
    cfg, _ = child(
        "data_root = _base_.data_root + '/b'\nmax_epochs = _base_.max_epochs * 2\n"
        'batch_size = {{_base_.sizes}}'
    )
    assert cfg.train_dataloader.dataset.data_root == 'data/a/b'
    assert cfg.param_scheduler[0].end == cfg.train_cfg.max_epochs == 20
    assert cfg.train_dataloader.batch_size == [32, 64]


def test_a_value_made_from_a_place_that_it_is_carried_to(child):
    cfg, places = child(
        'max_epochs = _base_.train_cfg.max_epochs * 2\n'
        'batch_size = _base_.train_dataloader.batch_size // 64\n'
        'train_dataloader = dict(num_workers=batch_size)'
    )
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == 20
    assert cfg.train_dataloader.batch_size == cfg.val_dataloader.batch_size == 2
    assert cfg.train_dataloader.num_workers == 2
    assert set(places) == {'max_epochs', 'batch_size'}


def test_values_beside_containers_of_the_files_own(child):
    """What a file sets within a list or dictionary stays, and the rest of it is carried."""
    cfg, places = child(
        "data_root = 'b'\npipeline = _base_.pipeline + [dict(type='Pack', root='data/a/kept')]\n"
        'val_dataloader = dict(dataset=dict(pipeline=pipeline), batch_size=1)\n'
        'hooks = [dict(pipeline=pipeline)]\nbatch_size = 2\nbudget = dict(params_m=(0, 1))'
    )
    steps = [dict(type='Load', root='b/x'), dict(type='Pack', root='data/a/kept')]
    assert cfg.pipeline == cfg.hooks[0].pipeline == cfg.val_dataloader.dataset.pipeline == steps
    assert cfg.test_dataloader == cfg.val_dataloader and cfg.val_dataloader.batch_size == 1
    assert cfg.val_dataloader.dataset.data_root == cfg.train_dataloader.dataset.data_root == 'b'
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.model.budget == cfg.budget == dict(macs_m=(0, 600), params_m=(0, 1))
    assert set(places) == {'data_root', 'batch_size', 'budget'}


def test_two_levels(child):
    child("data_root = 'b'\nval_dataloader = dict(batch_size=7)", name='middle.py')
    cfg, places = child("data_root = 'c'\nbatch_size = 3", base='middle.py')
    assert cfg.train_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root == 'c'
    assert cfg.test_dataloader.dataset.pipeline[0].root == 'c/x'
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.val_dataloader.batch_size == cfg.test_dataloader.batch_size == 7
    assert places['data_root'][-1] == 'val_dataloader.dataset.pipeline.0.root'


def test_several_bases(child, tmp_path):
    (tmp_path / 'more.py').write_text("test_cfg = dict(data_root='data/a')")
    cfg, _ = child("data_root = 'b'", base=['base.py', 'more.py'])
    assert cfg.test_cfg.data_root == cfg.train_dataloader.dataset.data_root == 'b'


def test_what_changes_in_place(child):
    cfg, _ = child(
        "data_root = 'b'\nval_dataloader = _base_.val_dataloader\nval_dataloader.batch_size = 1"
    )
    assert cfg.val_dataloader.batch_size == 1 and cfg.val_dataloader.dataset.data_root == 'b'


# --- testing is validation ---


def test_testing_follows_validation(child):
    cfg, _ = child('val_dataloader = dict(batch_size=9)\ntest_pipeline = []')
    assert cfg.test_dataloader.batch_size == 9
    cfg, _ = child('val_dataloader = dict(batch_size=9)\ntest_dataloader = dict(batch_size=128)')
    assert cfg.test_dataloader.batch_size == 128
    assert child('val_dataloader = None')[0].test_dataloader.batch_size == 128


def test_the_metric_follows_the_annotations(tmp_path):
    (tmp_path / 'base.py').write_text(
        "data_root = 'coco/'\n"
        'val_dataloader = dict(\n'
        "    dataset=dict(type='CocoDataset', data_root=data_root, ann_file='v'))\n"
        "val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'v')"
    )
    path = tmp_path / 'child.py'
    for text, expected in (
        ("data_root = 'x'", 'x/v'),
        ("data_root = 'x'\nval_dataloader = dict(dataset=dict(ann_file='w'))", 'x/w'),
        ("data_root = 'x'\nval_evaluator = dict(ann_file='mine')", 'mine'),
    ):
        path.write_text(f"_base_ = 'base.py'\n{text}")
        cfg = load_config(str(path), check_data=False)
        assert cfg.val_evaluator.ann_file == expected
    cfg = load_config(str(tmp_path / 'base.py'), {'val_dataloader.dataset.ann_file': 'w'},
                      check_data=False)  # fmt: skip
    assert cfg.val_evaluator.ann_file == 'coco/w'


# --- what is said ---


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(
        'cream_mm.files.early_lines.print_log', lambda text, *_, **__: said.append(text)
    )
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    return said


def test_one_line_per_name(lines, tmp_path, monkeypatch):
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = {RETRAIN!r}\ndata_root = 'x'\nmy_lr = 0.3\nbatch_size = 128")
    load_config(str(path), check_data=False)
    loaders = 'test_dataloader, train_dataloader, val_dataloader'
    expected = [f'data_root: set in 3 places of the config ({loaders})']
    assert lines == expected
    lines.clear()
    load_config(RETRAIN, dict(data_root='x'), check_data=False)
    assert lines == expected
    lines.clear()
    load_config(str(path), dict(data_root='y', max_epochs=255), check_data=False)
    assert lines == [
        *expected,
        'max_epochs: set in 2 places of the config (param_scheduler, train_cfg)',
    ]
    lines.clear()
    monkeypatch.setenv('RANK', '1')
    load_config(str(path), check_data=False)
    assert lines == []


def test_a_value_that_reaches_nothing(lines, child, tmp_path):
    child('train_dataloader = dict(batch_size=64)\nval_dataloader = dict(batch_size=64)')
    load_config(str(tmp_path / 'child.py'), dict(batch_size=2), check_data=False)
    assert lines == ['batch_size: set in no place of the config: nothing there held its old value']


@pytest.mark.parametrize(
    'line', ['max_epochs = None', 'max_epochs = "three"', 'max_epochs = 0', 'input_size = (64, 64)']
)
def test_values_that_cannot_be_carried(line, tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(f'_base_ = {SEARCH!r}\n{line}')
    with pytest.raises(ValueError, match='max_epochs is a number of|input_size is one number'):
        load_config(str(path), check_data=False)
    assert Config.fromfile(SEARCH).max_epochs == 120  # mmengine reads as before


def test_switch_epoch_moves_the_intervals():
    path = str(ROOT / 'configs/detection/rtmdet_cream-287m_8xb32-300e_coco.py')
    cfg = load_config(path, dict(switch_epoch=90, max_epochs=100), check_data=False)
    assert cfg.custom_hooks[1].switch_epoch == 90
    assert cfg.train_cfg.dynamic_intervals == [(90, 1)]
    cfg = load_config(path, dict(max_epochs=150), check_data=False)
    assert cfg.switch_epoch == cfg.custom_hooks[1].switch_epoch == 140
    assert cfg.train_cfg.dynamic_intervals == [(140, 1)]


def test_keys_that_the_runner_reads_are_no_variables(tmp_path):
    """An empty test_cfg of the run says nothing about that of the model."""
    (tmp_path / 'base.py').write_text('test_cfg = dict()\nmodel = dict(test_cfg=dict())')
    (tmp_path / 'child.py').write_text("_base_ = 'base.py'\ntest_cfg = dict(fp16=True)")
    assert read_config(tmp_path / 'child.py')[0].model.test_cfg == {}


# --- the size of a detector's images ---

DETECTORS = [
    path for path in CONFIGS
    if path.parent.name == 'detection' or '\nscale = (' in path.read_text()
]  # fmt: skip


@pytest.mark.parametrize('path', DETECTORS, ids=lambda path: path.stem)
def test_one_scale_reaches_every_place(path, child):
    before, _ = read_config(str(path))
    old = tuple(before.scale)
    cfg, _ = read_config(str(path))
    places = override(cfg, dict(scale=[512, 384]))['scale']
    used = {key: cfg[key] for key in config_carry.RUNNER_KEYS & cfg.keys()}
    sizes = [
        (key, holder[key]) for holder, key in config_carry.entries(used)
        if key in ('scale', 'img_scale', 'crop_size', 'size', 'input_size')
    ]  # fmt: skip
    assert {value for key, value in sizes if key != 'input_size'} <= {(512, 384), (1024, 768)}
    assert all(value == (384, 512) for key, value in sizes if key == 'input_size')
    assert len(sizes) == len(places)
    # A file that inherits does the same, and back again nothing has changed.
    inherited, _ = child('scale = (512, 384)', base=str(path))
    assert plain(inherited) == plain(cfg)
    override(cfg, dict(scale=old))
    assert plain(cfg) == plain(before)


def test_scales_of_a_detector_that_cannot_be(child):
    cfg, _ = read_config(RETINANET)
    for wrong in (640, [640], [640, 0], [640.5, 640], 'large', [(640, 640)]):
        with pytest.raises(ValueError, match=r'scale is two whole numbers.*scale=\[1333,800\]'):
            override(cfg, dict(scale=wrong))


def test_a_scale_of_ones_own_is_any_value():
    cfg = Config(dict(scale=0.5, train_pipeline=[dict(scale=0.5), dict(scale=(0.08, 1.0))]))
    override(cfg, dict(scale=0.25))
    assert cfg.train_pipeline == [dict(scale=0.25), dict(scale=(0.08, 1.0))]


def test_patience_is_counted_in_epochs():
    """Of a schedule that waits, as of one that ends: a tenth of the epochs, a tenth of these."""
    close = str(ROOT / 'configs/close/search_nb201.py')
    (schedule,) = load_config(close, {'max_epochs': 100}, check_data=False).param_scheduler
    assert schedule.patience == 3
    (schedule,) = load_config(close, check_data=False).param_scheduler
    assert schedule.patience == 30

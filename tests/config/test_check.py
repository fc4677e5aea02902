import random
import site
from pathlib import Path

import pytest
from mmengine.config import Config

from cream_mm.config.check import check_keys, is_settled
from cream_mm.config.load import load_config
from cream_mm.registry import argument_names

ROOT = Path(__file__).parents[2]
SEARCH = str(ROOT / 'configs/cream/search_imagenet.py')
RETINANET = str(ROOT / 'configs/retinanet_cream.py')
CONFIGS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').rglob('*.py'))


@pytest.mark.parametrize('path', CONFIGS)
def test_no_false_alarm_here(path):
    load_config(str(ROOT / path), check_data=False)


def test_no_false_alarm_in_configs_of_openmmlab():
    """Whole configs, and the fragments that they are made of."""
    paths = []
    for packages in site.getsitepackages():
        paths += Path(packages).glob('mm*/.mim/configs/**/*.py')
    if not paths:
        pytest.skip('their configs are not installed')
    words = ('max_epoch =', '_data_root =', 'conv_cfg =', 'val_evaluator_', 'gallery_dataloader')
    near = [p for p in sorted(paths) if any(w in p.read_text() for w in words)]
    random.Random(0).shuffle(paths)
    for path in near[:20] + paths[:30]:
        check_keys(Config.fromfile(str(path)))


@pytest.mark.parametrize('space', ['nas_bench_macro', dict(preset='dna', act='relu', se='none')])
def test_spaces_by_name(space):
    check_keys(Config(dict(model=dict(type='cream_mm.CreamSupernet', space=space))))
    with pytest.raises(ValueError, match='presett'):
        wrong = dict(type='cream_mm.CreamNet', space=dict(presett='dna'))
        check_keys(Config(dict(model=wrong)))


@pytest.mark.parametrize(
    ('line', 'slip', 'meant'),
    [
        ('optim_wraper = dict(optimizer=dict(lr=1))', 'optim_wraper', 'optim_wrapper'),
        ('train_dataloder = dict(batch_size=3)', 'train_dataloder', 'train_dataloader'),
        ('custom_hook = []', 'custom_hook', 'custom_hooks'),
        ('resum = True', 'resum', 'resume'),
        ('modle = dict(type="X")', 'modle', 'model'),
        ('max_epoch = 3', 'max_epoch', 'max_epochs'),
        ('budgett = dict(macs_m=(1, 2))', 'budgett', 'budget'),
    ],
)
def test_a_slip_at_the_top_level(tmp_path, line, slip, meant):
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {SEARCH!r}\n{line}\n')
    with pytest.raises(ValueError, match=f"unknown key '{slip}' in the top.*mean '{meant}'"):
        load_config(str(path))  # data/imagenet is not there: it was not looked for


def test_variables_of_the_user(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = {SEARCH!r}\n'
        'max_epoch = 7\nmy_lr = 0.3\nnum_class = 12\nmodels = ["a"]\nval_dataloader_2 = {}\n'
        'train_cfg = dict(max_epochs=max_epoch)\n'
        'model = dict(head=dict(num_classes=num_class), init_cfg=dict(a=models))\n'
        'optim_wrapper = dict(optimizer=dict(lr=my_lr))\n'
    )
    assert load_config(str(path), check_data=False).train_cfg.max_epochs == 7


def test_the_copy_that_a_run_writes_is_read_again(tmp_path):
    """There, what used the variables has been filled in."""
    path, copy = tmp_path / 'mine.py', tmp_path / 'copy.py'
    path.write_text(
        f'_base_ = {SEARCH!r}\n'
        'resum = 7\nmax_epoch = 1.5\ntest_pipelines = [dict(type="cream_mm.LoadImage")]\n'
        'custom_hook = dict(type="IterTimerHook", priority="LOW")\nmy_pipeline = []\n'
        'train_cfg = dict(val_interval=resum + round(max_epoch))\ntta_pipelines = test_pipelines\n'
        'custom_hooks = _base_.custom_hooks + [dict(custom_hook, priority="HIGH")]\n'
    )
    cfg = load_config(str(path), check_data=False)
    cfg.dump(copy)
    again = load_config(str(copy), check_data=False)
    assert again._cfg_dict == cfg._cfg_dict and again.train_cfg.val_interval == 9
    assert again.own_names == ['custom_hook', 'max_epoch', 'resum', 'tta_pipelines']
    cfg.dump(copy)
    copy.write_text(copy.read_text() + '\noptim_wraper = dict(a=123)\n')
    with pytest.raises(ValueError, match="unknown key 'optim_wraper'.*mean 'optim_wrapper'"):
        load_config(str(copy), check_data=False)
    copy.write_text('own_names = 5\n')
    with pytest.raises(ValueError, match='own_names is a list of names'):
        load_config(str(copy), check_data=False)


def test_other_words_are_no_slips():
    check_keys(Config(dict(test_pipeline=[1], val_pipeline=[2], data_dir='x', test_set=3)))


@pytest.mark.parametrize(
    ('config', 'key', 'slip', 'meant'),
    [
        (SEARCH, 'optim_wraper.optimizer.lr', 'optim_wraper', 'optim_wrapper'),
        (SEARCH, 'budgett.macs_m', 'budgett', 'budget'),
        (SEARCH, 'budget.mac_m', 'mac_m', 'macs_m'),
        (SEARCH, 'batchsize', 'batchsize', 'batch_size'),
        (SEARCH, 'zzz', 'zzz', None),
        (SEARCH, 'optim_wrapper.optimzer.lr', 'optimzer', 'optimizer'),
        (SEARCH, 'model.board.capasity', 'capasity', 'capacity'),
        (SEARCH, 'model.backbone.space.depth', 'depth', 'depths'),
        (SEARCH, 'model.compat.admision', 'admision', 'admission'),
        (SEARCH, 'model.bord', 'bord', 'board'),
        (SEARCH, 'custom_hooks.0.warmupp', 'warmupp', 'warmup'),
        (SEARCH, 'custom_hooks.1.dataset.hold_out', 'hold_out', 'holdout'),
        (SEARCH, 'train_cfg.max_epoch', 'max_epoch', 'max_epochs'),
        (SEARCH, 'train_cfg.sampler.op_probs', 'op_probs', 'op_prob'),
        (SEARCH, 'test_cfg.num_randoms', 'num_randoms', 'num_random'),
        (SEARCH, 'train_dataloader.dataset.pipeline.0.onerror', 'onerror', 'on_error'),
        (RETINANET, 'model.backbone.arhc', 'arhc', 'arch'),
        (RETINANET, 'model.backbone.frozen_stage', 'frozen_stage', 'frozen_stages'),
        (RETINANET, 'default_hooks.finite_loss.actions', 'actions', 'action'),
    ],
)
def test_a_slip_on_the_command_line(config, key, slip, meant):
    with pytest.raises(ValueError) as error:
        load_config(config, {key: 5})
    assert f"unknown key '{slip}'" in str(error.value)
    assert meant is None or f"did you mean '{meant}'?" in str(error.value)


@pytest.mark.parametrize(
    'options',
    [
        {'optim_wrapper.clip_grad.max_norm': 5},
        {'model.backbone.init_cfg.type': 'Pretrained'},
        {'load_from': 'x.pth'},
        {'work_dir': 'x'},
        {'find_unused_parameters': False},
        {'model_wrapper_cfg.type': 'X'},
        {'train_dataloader.prefetch_factor': 4},
        {'custom_hooks.0.priority': 'LOW'},
        {'compile': True},
    ],
    ids=str,
)
def test_new_keys_that_are_read(options):
    load_config(RETINANET if 'model.backbone.init_cfg.type' in options else SEARCH, options,
                check_data=False)  # fmt: skip


def test_an_unknown_type_of_ours():
    with pytest.raises(ValueError, match="unknown type 'BordHook'.*did you mean 'BoardHook'"):
        load_config(SEARCH, {'custom_hooks.0.type': 'cream_mm.BordHook'})


def test_names_through_kwargs():
    class Base:
        def __init__(self, a, b=1):
            pass

    class Child(Base):
        def __init__(self, c, **kwargs):
            pass

    assert argument_names(Child) == {'a', 'b', 'c'}


@pytest.mark.parametrize('suffix', ['.yml', '.yaml', '.json', '.txt'])
def test_a_config_is_python(tmp_path, suffix):
    """A tag in YAML names an object that mmengine would build."""
    marker, path = tmp_path / 'marker', tmp_path / f'evil{suffix}'
    path.write_text(f'a: !!python/object/apply:os.system ["touch {marker}"]\n')
    with pytest.raises(ValueError, match='a config is a .py file'):
        load_config(str(path))
    assert not marker.exists()


def test_what_stands_in_the_config_is_no_slip():
    cfg = Config(dict(model=dict(type='A', parts=[dict(size=1)], init=None)))
    for key in ('data_root', 'model.parts', 'model.parts.0.size', 'model.init', 'model'):
        assert is_settled(cfg, [key])
    for key in ('model.part', 'model.parts.0.sise', 'model.type', 'model.parts.0.type'):
        assert not is_settled(cfg, ['model.parts', key])

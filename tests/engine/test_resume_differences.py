"""What is said of a resumed run whose config is another one."""

import pytest
from mmengine.config import Config

from cream_mm.engine.resume_differences import (
    check_classes,
    config_differences,
    tell_differences,
)


def text_of(**changes):
    cfg = dict(
        batch_size=64, work_dir='a', num_workers=8, resume=False, launcher='none',
        model=dict(
            type='cream_mm.Cream', compat=dict(mode='fixed'),
            backbone=dict(type='cream_mm.CreamSupernet', space='cream'),
        ),
        train_dataloader=dict(
            batch_size=64, num_workers=8, dataset=dict(
                data_root='x', pipeline=[dict(type='A', scale=(8, 8)), dict(type='B')]
            ),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), clip_grad=None),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=10)],
        default_hooks=dict(logger=dict(interval=50)),
        randomness=dict(seed=0),
    )  # fmt: skip
    cfg = Config(cfg)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg.pretty_text


class Log:
    def __init__(self):
        self.lines = []
        self.warning = self.lines.append


def told(before, now):
    log = Log()
    tell_differences(before, now, log)
    return log.lines


def test_nothing_is_said_of_the_same_config():
    assert told(text_of(), text_of(work_dir='b', resume=True, launcher='pytorch')) == []


def test_another_name_of_the_same_step_is_no_difference():
    key = 'train_dataloader__dataset__pipeline'
    old = dict(type='cream_mm.LoadImage', on_error='partial')
    new = dict(type='cream_mm.LoadImageFromFile')
    assert told(text_of(**{key: [old]}), text_of(**{key: [new]})) == []
    skipping = dict(type='cream_mm.LoadImage')
    assert len(told(text_of(**{key: [skipping]}), text_of(**{key: [new]}))) == 1


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        (
            dict(batch_size=32, train_dataloader__batch_size=32),
            'batch_size was 64, is 32 (2 places): results change from here on',
        ),
        (
            dict(optim_wrapper__optimizer__lr=0.02),
            'optim_wrapper.optimizer.lr was 0.1, is 0.02: not in effect: '
            "the checkpoint's optimizer and schedule go on",
        ),
        (
            {'param_scheduler.0.T_max': 20},
            "param_scheduler.0.T_max was 10, is 20: not in effect: the checkpoint's optimizer and "
            'schedule go on',
        ),
        (
            dict(num_workers=0, train_dataloader__num_workers=0),
            'num_workers was 8, is 0 (2 places): results stay the same',
        ),
        (
            dict(default_hooks__logger__interval=10),
            'default_hooks.logger.interval was 50, is 10: results stay the same',
        ),
        (
            dict(train_dataloader__dataset__data_root='y'),
            "train_dataloader.dataset.data_root was 'x', is 'y': results change from here on",
        ),
        (
            {'train_dataloader.dataset.pipeline.0.scale': (4, 4)},
            'train_dataloader.dataset.pipeline.0.scale was (8, 8), is (4, 4): results change from '
            'here on',
        ),
        (
            dict(budget=dict(macs_m=[0, 300])),
            "budget was absent, is {'macs_m': [0, 300]}: results change from here on",
        ),
        (
            dict(optim_wrapper__optimizer__type='Adam'),
            "optim_wrapper.optimizer.type was 'SGD', is 'Adam': results change from here on",
        ),
    ],
)
def test_one_line_for_each_difference(changes, line):
    lines = told(text_of(), text_of(**changes))
    assert lines[0] == f'resume: {line}'
    is_rate = 'not in effect' in line or 'batch_size' in line
    assert len(lines) == 1 + is_rate
    assert not is_rate or 'load_from instead of --resume' in lines[1]


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        (dict(model__compat='official'), "model.compat.mode was 'fixed', is 'official'"),
        (
            dict(model__backbone__space='nas_bench_macro'),
            "model.backbone.space was 'cream', is 'nas_bench_macro'",
        ),
        (
            dict(model__backbone__arch='cream-14m', batch_size=1),
            "model.backbone.arch was absent, is 'cream-14m'",
        ),
        (dict(model__backbone__align='project'), "model.backbone.align was absent, is 'project'"),
        (
            dict(train_dataloader__dataset__split_seed=1),
            'train_dataloader.dataset.split_seed was absent, is 1',
        ),
    ],
)
def test_a_run_that_would_be_neither_is_refused(changes, line):
    with pytest.raises(ValueError) as error:
        told(text_of(), text_of(**changes))
    assert str(error.value).startswith(line)


def test_another_teacher_is_another_meaning_and_its_file_is_not():
    teacher = dict(
        model__teacher__mode='eval', model__teacher__backbone__type='CreamNet',
        model__teacher__backbone__arch='lite0', model__teacher__backbone__init_cfg='a.pth',
        model__teacher__taps=['blocks.1', 'blocks.2'],
    )  # fmt: skip
    for key, value in (('backbone__arch', 'lite1'), ('taps', ['blocks.1', 'blocks.3'])):
        with pytest.raises(ValueError, match=rf'^model\.teacher\.{key.replace("__", ".")} was '):
            told(text_of(**teacher), text_of(**{**teacher, f'model__teacher__{key}': value}))
    moved = dict(teacher, model__teacher__backbone__init_cfg='b.pth')
    assert told(text_of(**teacher), text_of(**moved)) == [
        "resume: model.teacher.backbone.init_cfg was 'a.pth', is 'b.pth': results change from here "
        'on'
    ]


def test_the_same_in_another_form_is_no_difference():
    assert told(text_of(model__compat='fixed'), text_of()) == []
    assert told('x = [1, dict(a=(2, 3))]', "x = (1, {'a': [2, 3]})") == []


def test_an_architecture_in_a_moved_file_is_said_only():
    before, now = (text_of(model__backbone__arch=path) for path in ('a/arch.json', '/b/arch.json'))
    assert told(before, now) == [
        "resume: model.backbone.arch was 'a/arch.json', is '/b/arch.json': results change from "
        'here on'
    ]


def test_text_of_a_file_is_data(tmp_path):
    marker = tmp_path / 'marker'
    evil = f'x = __import__("os").system("touch {marker}")\ny = {{{{}}}}\nbatch_size = 2\n'
    assert told(evil, 'batch_size = 3')[0].startswith('resume: batch_size was 2, is 3')
    assert not marker.exists()
    for nothing in (None, 5, ['x'], 'x = (', 'x = ' + '[' * 10_000, 'x' * 3_000_000, '\0'):
        assert told(nothing, 'a = 1') == [
            'resume: the checkpoint does not tell its config, so nobody can say what differs'
        ]


def test_many_and_long_values():
    before = '\n'.join(f'v{i} = {i}' for i in range(100)) + f'\nlong = {"a" * 500!r}'
    lines = told(before, before.replace(' = ', ' = 1').replace("= 1'", "= 'b"))
    assert len(lines) == 31 and lines[-1] == 'resume: 71 more values differ'
    found = config_differences("x = '" + 'a' * 500 + "'", "x = '\\x1b[2J'")
    assert len(str(found[0])) < 200 and str(found[0]).endswith(r"is '\x1b[2J'")


def test_classes():
    before = dict(classes=['ant', 'bee'])
    for same in (dict(classes=('ant', 'bee')), dict(classes=None), {}, None):
        check_classes(before, same)
    check_classes(dict(classes='x'), before)
    with pytest.raises(ValueError, match="its class 0 is 'ant', that of the data 'bee'"):
        check_classes(before, dict(classes=['bee', 'ant']))
    with pytest.raises(ValueError, match='it knows 2 classes, and the data has 1'):
        check_classes(before, dict(classes=['ant']))

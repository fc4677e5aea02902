"""Names from data in the text of a config: they stay names, and nothing in them runs."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.files.config_text import TextConfig, config_text
from cream_mm.files.config_values import read_value

NAMES = [
    '{{$HOME:x}}', "{{'$HOME:x'}}", '{{ $PATH : y }}', '{{fileDirname}}', '{{ fileBasename }}/a',
    '{{_base_.data_root}}', '{{{{$HOME:x}}}}', '{{{fileDirname}}}', '\\{{$HOME:x}}', '{{',
    '{{$HOME:__import__("os").system("touch /tmp/x")}}',
    'it\'s "both"', "'''", '"""', 'new\nline', 'tab\t\r', 'back\\slash\\', '\\x7b', "ends in '",
    'ünïcödé 猫 \u2028 \x85 \x00', '\udcff', '#', '${HOME}', '%(a)s', '',
]  # fmt: skip


def attack(marker):
    """Two names of which mmengine's substitution makes a call, whatever quotes surround them.

    The first one's default holds the code and ends the pattern, the second is where it goes.
    """
    return ['{{$CREAM_X:a|"+open("' + str(marker) + '","w").name+""}}', "{{$CREAM_X:a'"]


def read(text, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(text, encoding='utf-8')
    return Config.fromfile(str(path))


def test_the_attack_is_one(tmp_path):
    marker = tmp_path / 'marker'
    read(Config(dict(classes=attack(marker))).pretty_text, tmp_path)
    assert marker.exists()


def test_names_stay_names(tmp_path):
    marker = tmp_path / 'marker'
    names = [*NAMES, *attack(marker)]
    values = dict(
        classes=tuple(names),
        data_root=names[0],
        by_key={name: [name] for name in names},
        deep=[[dict(metainfo=dict(classes=[name]))] for name in names],
    )
    cfg = read(config_text(values), tmp_path)
    assert not marker.exists()
    assert cfg._cfg_dict.to_dict() == values
    assert read_value(tmp_path / 'config.py', 'classes') == tuple(names)


def test_a_key_is_no_code(tmp_path):
    marker = tmp_path / 'marker'
    key = f"a': open({str(marker)!r}, 'w').close(), 'b"
    values = {'spaces': {key: 1, 'class': 2, 'plain': dict(lambda_=3)}}
    assert read(config_text(values), tmp_path)._cfg_dict.to_dict() == values
    assert not marker.exists()
    for wrong in ('a b', 'class', 'x=1;y'):
        with pytest.raises(ValueError, match='cannot be a key at the top level'):
            config_text({wrong: 1})


def test_every_kind_of_value(tmp_path):
    values = dict(
        a=None, b=True, c=-3, d=1e-6, e=float('inf'), f=-float('inf'), g=(), h=[], i={}, j=(1,),
        k=b'\xff{{$HOME:x}}', l=((1,), [2, (3,)]), m={1: 2, (3, 4): 5}, n=list(range(100)),
        o='a' * 300,
    )  # fmt: skip
    assert read(config_text(values), tmp_path)._cfg_dict.to_dict() == values
    odd = dict(
        a=np.float32(0.5), b=np.str_('{{$HOME:x}}'), c=Path('/{{$HOME:x}}'), d=torch.nn.Linear
    )
    cfg = read(config_text(odd), tmp_path)
    assert (cfg.a, cfg.b, cfg.c) == (0.5, '{{$HOME:x}}', '/{{$HOME:x}}')
    assert cfg.d == 'torch.nn.modules.linear.Linear'
    assert np.isnan(read(config_text(dict(a=float('nan'))), tmp_path).a)


def test_layout():
    values = dict(
        num_classes=3, head=dict(num_classes=3, other=4), short=(1, 2), long=['x' * 40] * 3
    )
    text = config_text(values, lambda node, key: key if key == 'num_classes' else None)
    assert text == (
        'num_classes = 3\n'
        'head = dict(num_classes=num_classes, other=4)\n'
        'short = (1, 2)\n'
        'long = [\n' + f"    '{'x' * 40}',\n" * 3 + ']\n'
    )


class One(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return torch.zeros(1)


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=(self.weight**2).sum())


def test_all_that_a_run_writes(tmp_path):
    """The dumped config, the visualizer's copy, and the text in a checkpoint."""
    marker = tmp_path / 'marker'
    names = [*NAMES, *attack(marker)]
    cfg = Config(
        dict(
            work_dir=str(tmp_path / 'run'), classes=names, log_level='ERROR',
            experiment_name='names',
        )
    )  # fmt: skip
    runner = Runner(
        model=Toy(), work_dir=cfg.work_dir, cfg=cfg, log_level='ERROR', experiment_name='names',
        train_dataloader=dict(dataset=One(), sampler=dict(type='DefaultSampler')),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
    )  # fmt: skip
    runner.train()
    written = list((tmp_path / 'run').rglob('*.py'))
    assert len(written) == 2
    for path in written:
        assert Config.fromfile(str(path)).classes == names
    text = load_checkpoint_file(tmp_path / 'run/epoch_1.pth')['meta']['cfg']
    assert Config.fromstring(text, '.py').classes == names
    assert not marker.exists()


def test_copies_keep_the_text():
    cfg = TextConfig.of(Config(dict(a='{{$HOME:x}}')))
    assert isinstance(cfg, Config) and TextConfig.of(dict(b=1)).b == 1
    cfg.a = '{{$HOME:y}}'
    assert cfg.dump() == cfg.copy().dump() == "a = '{\\x7b$HOME:y}}'\n"
    assert os.environ['HOME'] not in cfg.dump()

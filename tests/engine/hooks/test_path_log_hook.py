"""The log of trained paths: complete, without doubles after a kill, and of the right loss."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_search_run import build, data  # noqa: F401

from cream_mm.engine.hooks import PathLogHook
from cream_mm.engine.loops.supernet_train_loop import build_sampler
from cream_mm.testing import tiny_space

HOOK = dict(type='cream_mm.PathLogHook')


def read(folder):
    return [json.loads(line) for line in (folder / 'path_log.jsonl').read_text().splitlines()]


def build_with_log(data, work_dir, **kwargs):  # noqa: F811
    runner = build(data, work_dir, **kwargs)
    runner.register_custom_hooks([HOOK])
    return runner


@pytest.mark.parametrize('board', [True, False])
def test_every_step_is_recorded(data, tmp_path, board):  # noqa: F811
    runner = build_with_log(data, tmp_path / 'run', board=board)
    model, losses, forward = runner.model, [], runner.model.head.loss_by_logits

    def record(logits, samples):
        loss = forward(logits, samples)
        if len(samples) == 4 or model.training:
            losses.append(loss.item())
        return loss

    model.head.loss_by_logits = record
    runner.train()
    rows = read(tmp_path / 'run')
    assert [row['step'] for row in rows] == list(range(runner.max_iters))
    sampler = build_sampler(None, model.budget, runner.seed)
    assert [row['arch'] for row in rows] == [sampler.sample(i).to_list() for i in range(len(rows))]
    if not board:  # with one, meta steps compute losses too
        assert [row['loss'] for row in rows] == pytest.approx(losses)
    taught = [row for row in rows if 'teacher_loss' in row]
    assert taught == (rows[-len(taught) :] if board else [])  # from when the board has a path on
    assert bool(taught) == board
    assert set(map(str, losses)) >= {str(row['teacher_loss']) for row in taught}
    # Not the share that is left beside distillation.
    assert all(row['loss'] == torch.tensor(row['loss']).item() for row in rows)
    assert set(map(str, losses)) >= {str(row['loss']) for row in rows}


@pytest.mark.slow
def test_resumed_run_has_each_step_once(data, tmp_path):  # noqa: F811
    whole = build_with_log(data, tmp_path / 'whole')
    whole.train()
    build_with_log(data, tmp_path / 'run', max_epochs=3).train()
    path = tmp_path / 'run/path_log.jsonl'
    first, after = (tmp_path / 'run' / f'epoch_{n}.pth' for n in (2, 3))
    after.unlink()
    # An editor spoilt two lines, the disk one, and a kill cut the last.
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = [
        *lines[:3],
        b'\n{"step": \n',
        *lines[3:9],
        b'\0\xff\n',
        *lines[9:],
        b'{"step": 21, "ar',
    ]
    path.write_bytes(b''.join(spoilt))
    runner = build_with_log(data, tmp_path / 'run', load_from=str(first), resume=True)
    runner.train()
    steps = [row['step'] for row in read(tmp_path / 'run')]
    assert steps == list(range(whole.max_iters))
    assert read(tmp_path / 'run')[:14] == read(tmp_path / 'whole')[:14]
    assert (tmp_path / 'run/path_log.jsonl.damaged').read_bytes() == b''.join(spoilt)


def test_numbers_of_two_devices_are_one_log(tmp_path, monkeypatch):
    """A plain number beside a GPU's losses; here the other device is torch's without memory."""
    stacked, stack = [], torch.stack

    def noting(values, *args):
        stacked.append([value.device.type for value in values])
        return stack([torch.zeros(()) for _ in values])

    monkeypatch.setattr(torch, 'stack', noting)
    hook = PathLogHook()
    arch = tiny_space().sample(np.random.default_rng(0))
    losses = dict(loss=torch.ones((), device='meta'), losses=dict(a=torch.as_tensor(0.5)))
    hook._pending = [(0, arch, losses)]
    hook._write(SimpleNamespace(work_dir=tmp_path))
    assert stacked == [['meta', 'meta']]
    assert [row['step'] for row in read(tmp_path)] == [0]

from collections import OrderedDict, deque
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.checkpoints.whole_file import (
    WholeFileBackend,
    check_whole,
    make_plain,
    restore,
    seal,
    to_plain,
)


def saved(content=None):
    buffer = BytesIO()
    torch.save(content or dict(state_dict=dict(w=torch.randn(50))), buffer)
    return buffer.getvalue()


def test_seal_and_check(tmp_path):
    path = tmp_path / 'a.pth'
    content = saved()
    WholeFileBackend().put(content, str(path))
    sealed = path.read_bytes()
    assert sealed == seal(content) and len(sealed) == len(content) + 80
    check_whole(path)
    for kwargs in (dict(weights_only=True), dict(weights_only=False)):
        assert torch.load(path, **kwargs)['state_dict']['w'].shape == (50,)
    assert seal(sealed) == sealed and seal(b'text') == b'text'


@pytest.mark.parametrize('at', [0, 40, 400, -1, -20, -64, -83])
def test_one_wrong_bit(tmp_path, at):
    content = bytearray(seal(saved()))
    content[at] ^= 4
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='damaged'):
        check_whole(path)


def test_every_truncation(tmp_path):
    content, path = seal(saved()), tmp_path / 'a.pth'
    archive = len(content) - 80  # of what follows, nothing is needed to read it
    for length in [*range(0, archive, 97), archive - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match='damaged|not a readable checkpoint'):
            check_whole(path)


def test_without_checksum_it_is_read(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(saved())
    check_whole(path)
    path.write_bytes(saved()[:-300])
    with pytest.raises(ValueError, match='not a readable checkpoint'):
        check_whole(path)
    with pytest.raises(FileNotFoundError):
        check_whole(tmp_path / 'b.pth')


def test_plain_values():
    tensor = torch.ones(2)
    content = dict(
        a=np.float64(1.5), b=np.arange(3), c=[np.int64(2), (True, None)], d=tensor, e={3: {1}},
        f=Path('x'), g=object(), h=[object()], i=float('inf'), j=np.bool_(True), k=None,
    )  # fmt: skip
    expected = dict(
        a=1.5, b=[0, 1, 2], c=[2, (True, None)], d=tensor, e={3: [1]}, f='x', h=[None],
        i=float('inf'), j=True, k=None,
    )  # fmt: skip
    plain = to_plain(content)
    assert plain == expected and plain['d'] is tensor
    assert type(plain['a']) is float and type(plain['c'][0]) is int and type(plain['j']) is bool


def test_history_comes_back_as_it_was(tmp_path):
    hub = MessageHub('test-history')
    for i in range(20):
        hub.update_scalar('train/loss', 1 / (i + 1), count=i)
    hub.update_info('best', np.float32(0.5))
    hub.update_info('passing', 3, resumed=False)
    checkpoint = dict(
        meta=dict(epoch=1, iter=20, config='raise SystemExit'),
        state_dict=OrderedDict(w=torch.ones(2)),
        message_hub=hub.state_dict(),
        other=deque([1]),
    )
    make_plain(checkpoint)
    torch.save(checkpoint, tmp_path / 'a.pth')
    torch.load(tmp_path / 'a.pth', weights_only=True)
    content = restore(load_checkpoint_file(tmp_path / 'a.pth'))
    assert 'config' not in content['meta'] and content['meta']['iter'] == 20
    again = MessageHub('test-history-again')
    again.load_state_dict(content['message_hub'])
    ours, theirs = again.get_scalar('train/loss'), hub.get_scalar('train/loss')
    for a, b in zip(ours.data, theirs.data):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    ours.update(3.0)
    theirs.update(3.0)
    assert ours.mean(10) == theirs.mean(10)
    assert again.get_info('best') == 0.5 and again.get_info('passing') is None


@pytest.mark.parametrize(
    'content',
    [
        {}, dict(meta=1, message_hub=2), dict(message_hub=dict(log_scalars=[])),
        dict(message_hub=dict(log_scalars={'a': 1, 'b': dict(values=torch.ones(2, 2)),
                              'c': dict(values=torch.ones(2), counts=torch.ones(3)),
                              'd': HistoryBuffer([1.0], [1])}, resumed_keys={'a': True})),
    ],
    ids=range(4),
)  # fmt: skip
def test_contents_of_another_form(content):
    content = restore(content)
    MessageHub('test-form').load_state_dict(content['message_hub'])
    assert content['meta'] == {} and not content['message_hub']['log_scalars']

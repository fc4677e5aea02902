import argparse
import builtins
import collections
import contextlib
import io
import os
import pickle
import resource
import subprocess
import time
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from cream_mm.checkpoints import load_checkpoint_file, load_weights
from cream_mm.converters import convert_checkpoint
from cream_mm.testing import tiny_cream

WEIGHTS = {'backbone.w': torch.arange(6.0).view(2, 3), 'head.b': torch.tensor([1, 2, 3])}


class Call:
    """Unpickles to the result of a call: what a malicious checkpoint does."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def writing(marker):
    """Python code that leaves a file behind."""
    return f'open({str(marker)!r}, "w").close()'


ATTACKS = {
    'os.system': lambda marker: Call(os.system, f'touch {marker}'),
    'eval': lambda marker: Call(eval, writing(marker)),
    'exec': lambda marker: Call(exec, writing(marker)),
    'subprocess': lambda marker: Call(subprocess.call, ['touch', str(marker)]),
    'getattr': lambda marker: Call(Call(getattr, os, 'system'), f'touch {marker}'),
    'import': lambda marker: Call(
        Call(getattr, Call(builtins.__import__, 'os'), 'system'), f'touch {marker}'
    ),
    'nested argument': lambda marker: Call(list, [Call(os.system, f'touch {marker}')]),
    'inside an allowed call': lambda marker: Call(
        collections.OrderedDict, [('a', Call(os.system, f'touch {marker}'))]
    ),
    'file': lambda marker: Call(open, str(marker), 'w'),
    'pickle in pickle': lambda marker: Call(
        pickle.loads, pickle.dumps(Call(os.system, f'touch {marker}'))
    ),
    'numpy': lambda marker: Call(np.savetxt, str(marker), [1.0]),
    'torch.save': lambda marker: Call(torch.save, 1, str(marker)),
}


class _Pickler(pickle._Pickler):
    """A pickler that also writes modules and nested calls, as an attacker's would."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_module(self, module):
        self.save_reduce(builtins.__import__, (module.__name__,))

    dispatch[type(os)] = save_module

    def save_reduce(self, func, args, *rest, **kwargs):
        if isinstance(func, Call):
            self.save(func)
            self.save(args)
            self.write(pickle.REDUCE)
            return
        super().save_reduce(func, args, *rest, **kwargs)


class _Evil:
    """A pickle module for torch.save."""

    Pickler = _Pickler
    dumps = staticmethod(pickle.dumps)
    dump = staticmethod(pickle.dump)


@pytest.mark.parametrize('where', ['beside', 'among the weights', 'key'])
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('attack', ATTACKS)
def test_nothing_is_executed(tmp_path, attack, zipped, where):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    payload = ATTACKS[attack](marker)
    content = dict(state_dict=dict(WEIGHTS))
    if where == 'beside':
        content['meta'] = payload
    elif where == 'key':
        content = {**content, 'epoch': {1: [payload]}}
    else:
        content['state_dict'] = {'first': payload, **WEIGHTS}
    torch.save(content, path, pickle_module=_Evil, _use_new_zipfile_serialization=zipped)
    weights = load_weights(path)
    assert not marker.exists()
    assert set(weights) == set(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert torch.equal(weights[name], value) and weights[name].dtype == value.dtype


@pytest.mark.parametrize('attack', ATTACKS)
def test_the_attacks_would_work(tmp_path, attack):
    """An attack that an ordinary unpickler survives would prove nothing."""
    marker, buffer = tmp_path / 'marker', io.BytesIO()
    _Pickler(buffer, 2).dump(ATTACKS[attack](marker))
    with contextlib.suppress(Exception):
        pickle.loads(buffer.getvalue())
    assert marker.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_a_plain_pickle_is_no_checkpoint(tmp_path, protocol):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    path.write_bytes(pickle.dumps(Call(os.system, f'touch {marker}'), protocol))
    with pytest.raises(ValueError, match='not a readable checkpoint'):
        load_checkpoint_file(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'name', ['serialization.os.system', 'os.system', '_utils.sys.modules', 'hub.load']
)
def test_dotted_names_lead_nowhere(tmp_path, name):
    """Newer pickles may name an attribute of an attribute of an allowed module."""
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    argument = f'touch {marker}'.encode()
    code = (
        b'\x80\x04\x8c\x05torch' + b'\x8c' + bytes([len(name)]) + name.encode() + b'\x93'
        + b'\x8c' + bytes([len(argument)]) + argument + b'\x85R.'
    )  # fmt: skip
    if name == 'serialization.os.system':
        pickle.loads(code)  # this one works
        assert marker.exists()
        marker.unlink()
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('evil/data.pkl', code)
        archive.writestr('evil/version', '3\n')
    with pytest.raises(ValueError):
        load_weights(path)
    assert not marker.exists()


# --- files that claim more than they hold ---


def edited(path, edit, compression=zipfile.ZIP_STORED):
    """The same archive with another pickle, or compressed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in records.items():
            archive.writestr(name, edit(content) if name.endswith('data.pkl') else content)
    return path


def number(value):
    return b'\x8a\x08' + value.to_bytes(8, 'little')


@pytest.fixture
def small(tmp_path):
    torch.save(dict(state_dict={'w': torch.arange(4.0)}), tmp_path / 'small.pth')
    return tmp_path / 'small.pth'


@pytest.mark.parametrize('elements', [5, 10**4, 10**12, 2**62])
def test_a_storage_larger_than_its_record(small, elements):
    def edit(code):
        at = code.index(b'K\x04', code.index(b'cpu'))  # elements of the storage
        return code[:at] + number(elements) + code[at + 2 :]

    with pytest.raises(ValueError, match='more than the file holds'):
        load_weights(edited(small, edit))


@pytest.mark.parametrize('elements', [5, 10**12, 2**62])
def test_a_tensor_larger_than_its_storage(small, elements):
    def edit(code):
        at = code.index(b'K\x04', code.index(b'K\x04', code.index(b'cpu')) + 2)  # its size
        return code[:at] + number(elements) + code[at + 2 :]

    with pytest.raises(ValueError, match='larger than its data'):
        load_weights(edited(small, edit))


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('size', [(10**12,), (2**30, 2**30), (2,) * 60])
def test_a_tensor_that_repeats_one_element(tmp_path, size, zipped):
    path = tmp_path / 'expanded.pth'
    content = {'w': torch.zeros(1).expand(size)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='larger than its data'):
        load_weights(path)


def test_an_old_file_of_a_huge_storage(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'w': torch.arange(4.0)}, path, _use_new_zipfile_serialization=False)
    code = path.read_bytes()
    at = code.index(b'K\x04', code.index(b'cpu'))
    path.write_bytes(code[:at] + number(10**12) + code[at + 2 :])
    with pytest.raises(ValueError, match='more than the file holds'):
        load_weights(path)


def test_a_compressed_file(small):
    """A megabyte of it could hold a gigabyte."""
    edited(small, bytes, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match='it is compressed'):
        load_weights(small)


@pytest.mark.parametrize(
    'code',
    [
        b'}' + b')' + b'\x85' * 10**6 + b'K\x01s.',  # a key: its hash would overflow the stack
        b'}K\x01\x85' + b'q\x00h\x00\x86' * 60 + b'K\x01s.',  # doubles 60 times
        b'}\x8c\x01a' + b']' * 10**5 + b'a' * (10**5 - 1) + b's.',
        b'}\x8c\x01actorch\nUntypedStorage\n' + number(10**12) + b'\x85Rs.',
        b'}\x8c\x01a\x8e' + (10**13).to_bytes(8, 'little') + b'xs.',
    ],
    ids=['deep tuple', 'doubling tuple', 'deep list', 'called storage', 'long bytes'],
)
def test_hostile_pickles(small, code):
    with pytest.raises(ValueError, match='not a readable checkpoint|holds no weights'):
        load_weights(edited(small, lambda _: b'\x80\x04' + code))


def test_layers_that_only_a_name_claims(tmp_path):
    torch.save({'blocks.1.999999999.0.conv_pw.weight': torch.zeros(1)}, tmp_path / 'a.pth.tar')
    with pytest.raises(ValueError):
        convert_checkpoint(tmp_path / 'a.pth.tar', tmp_path / 'b.pth')


# --- ordinary checkpoints ---


def test_a_training_checkpoint(tmp_path):
    """What mmengine saves: optimizer, message hub, random states, objects of any class."""
    model = tiny_cream()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    path = tmp_path / 'epoch_1.pth'
    content = dict(
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        meta=dict(epoch=3, time='now', classes=('a', 'b'), seed=np.int64(5)),
        message_hub=dict(log={'loss': HistoryBuffer([1.0, 2.0], [1, 1])}, runtime={'iter': 9}),
        args=argparse.Namespace(lr=0.1),
        sets={1, 2},
        counter=collections.Counter('ab'),
        default=collections.defaultdict(list, a=[1]),
        dtype=torch.float16,
        size=torch.Size([1, 2]),
        array=np.arange(4),
    )
    torch.save(content, path)
    loaded = load_checkpoint_file(path)
    assert list(loaded) == list(content)
    assert loaded['meta']['epoch'] == 3 and loaded['meta']['classes'] == ('a', 'b')
    assert loaded['message_hub']['runtime'] == {'iter': 9}
    assert loaded['dtype'] is torch.float16 and loaded['size'] == (1, 2)
    assert loaded['optimizer']['param_groups'][0]['momentum'] == 0.9
    assert type(loaded['args']) is not argparse.Namespace
    weights = load_weights(path)
    assert list(weights) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), name


@pytest.mark.parametrize('zipped', [True, False])
def test_kinds_of_tensors(tmp_path, zipped):
    path = tmp_path / 'weights.pth'
    base = torch.randn(4, 6)
    tensors = dict(
        half=base.half(), bfloat=base.bfloat16(), double=base.double(), flag=base > 0,
        byte=base.byte(), scalar=torch.tensor(3), empty=torch.zeros(0, 2), view=base[1:3, ::2],
        transposed=base.t(), parameter=torch.nn.Parameter(base),
    )  # fmt: skip
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    weights = load_weights(path)
    assert set(weights) == set(tensors)
    for name, value in tensors.items():
        assert torch.equal(weights[name], value) and weights[name].dtype == value.dtype, name


def test_with_and_without_a_state_dict_around(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    torch.save(dict(state_dict=collections.OrderedDict(WEIGHTS), epoch=1), tmp_path / 'b.pth')
    for name in 'ab':
        weights = load_weights(str(tmp_path / f'{name}.pth'))
        assert all(torch.equal(weights[k], v) for k, v in WEIGHTS.items()) and len(weights) == 2


# --- files that are something else ---


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0.0, 0.02, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, share, zipped):
    path = tmp_path / 'cut.pth'
    state = dict(state_dict=tiny_cream().state_dict())
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match='is not a readable checkpoint') as error:
        load_weights(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('content', [b'', b'hello', b'\x80\x02}q\x00.', b'PK\x03\x04', bytes(999)])
def test_other_files(tmp_path, content):
    path = tmp_path / 'other.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='checkpoint'):
        load_weights(path)


@pytest.mark.parametrize(
    ('content', 'word'),
    [
        (b'', 'empty; fetch it again'),
        (b'\n<!DOCTYPE html><html><body>Quota exceeded', 'a web page .*fetch the file itself'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9', 'git lfs pull'),
        (b'PK\x03\x04' + bytes(500), 'half a download, perhaps; fetch it again'),
    ],
)
def test_what_is_there_in_its_place(tmp_path, content, word):
    (tmp_path / 'w.pth').write_bytes(content)
    with pytest.raises(ValueError, match=f'w.pth is not a readable checkpoint, but .*{word}'):
        load_checkpoint_file(tmp_path / 'w.pth')


def test_missing_file(tmp_path):
    for load in (load_weights, load_checkpoint_file):
        with pytest.raises(FileNotFoundError, match='no checkpoint .*gone.pth'):
            load(tmp_path / 'gone.pth')
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path)  # a folder


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([torch.zeros(2)], 'no dictionary'),
        (torch.zeros(2), 'no dictionary'),
        ({}, 'holds no weights'),
        (dict(state_dict={}), 'holds no weights'),
        (dict(state_dict=[1, 2]), 'holds no weights'),
        (dict(state_dict=torch.zeros(2)), 'holds no weights'),
        (dict(state_dict=None), 'holds no weights'),
        (dict(meta=dict(epoch=1)), 'holds no weights'),
    ],
    ids=str,
)
def test_without_weights(tmp_path, content, message):
    path = tmp_path / 'other.pth'
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_weights(path)


def doubled(times, kind=list):
    value = kind([0, 1])
    for _ in range(times):
        value = kind([value, value])
    return value


def itself():
    value = [1]
    value.append(dict(again=value))
    return value


def chain(length):
    value = []
    for _ in range(length):
        value = [value]
    return value


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (doubled(22), 'hold each other so often'),
        (doubled(90), 'hold each other so often'),
        ({'a': [doubled(60), {'b': doubled(60)}]}, 'hold each other so often'),
        (doubled(20, tuple), 'nests too deeply'),
        ([doubled(10, tuple)] * 3000, 'hold each other so often'),
        (itself(), 'a list that holds itself'),
        (chain(150), 'nest more than 100 deep'),
    ],
)
def test_lists_that_nobody_can_walk(tmp_path, value, message):
    """2 kB that took a minute and 1.5 GB, and each doubling twice as much."""
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=WEIGHTS, meta=dict(epoch=1, x=value)), path)
    assert path.stat().st_size < 40_000
    start, before = time.perf_counter(), peak_memory()
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint_file(path)
    assert time.perf_counter() - start < 10 and peak_memory() - before < 2**27
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_what_a_checkpoint_repeats_is_read(tmp_path):
    """Optimizers share values between groups, and a log may be long."""
    shared = dict(betas=(0.9, 0.99), names=['a', 'b'] * 50)
    meta = dict(groups=[shared] * 3000, log=[float(i) for i in range(1_200_000)], deep=chain(90))
    torch.save(dict(state_dict=WEIGHTS, meta=meta), tmp_path / 'a.pth')
    assert load_checkpoint_file(tmp_path / 'a.pth')['meta'] == meta


def peak_memory():
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

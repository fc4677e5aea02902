"""What a loop knows survives a kill, and only that: another run starts afresh."""

from types import SimpleNamespace

import pytest
from mmengine.runner import BaseLoop

from cream_mm.engine.hooks import LoopStateHook


class Counter(BaseLoop):
    def __init__(self, state):
        self.state = state

    def run(self):
        pass

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


class Stateless(BaseLoop):
    def __init__(self):
        pass

    def run(self):
        pass


def runner_of(train, test, resume=True):
    return SimpleNamespace(_train_loop=train, _test_loop=test, _resume=resume)


@pytest.mark.parametrize(
    ('train', 'test', 'expected'),
    [
        (Counter({'n': 1}), Counter({'n': 2}), {'train_loop': {'n': 1}, 'test_loop': {'n': 2}}),
        (Counter({'n': 1}), dict(type='TestLoop'), {'train_loop': {'n': 1}}),  # not built yet
        (Counter({}), Counter({'n': 2}), {'test_loop': {'n': 2}}),
        (Stateless(), None, None),
        (Counter({}), Counter({}), None),
    ],
)
def test_what_is_saved(train, test, expected):
    checkpoint = dict(state_dict={})
    LoopStateHook().before_save_checkpoint(runner_of(train, test), checkpoint)
    assert checkpoint == (dict(state_dict={}, loops=expected) if expected else dict(state_dict={}))


def test_a_resumed_run_has_it_back():
    hook, checkpoint = LoopStateHook(), {}
    hook.before_save_checkpoint(runner_of(Counter({'n': 1}), Counter({'n': 2})), checkpoint)
    train, test = Counter({}), Stateless()
    hook.after_load_checkpoint(runner_of(train, test), checkpoint)
    assert train.state == {'n': 1} and not hasattr(test, 'state')


@pytest.mark.parametrize('loops', [None, 3, {}, {'train_loop': 3}, {'val_loop': {'n': 1}}])
def test_what_is_no_state_is_passed_over(loops):
    train = Counter({'n': 5})
    LoopStateHook().after_load_checkpoint(runner_of(train, None), dict(loops=loops))
    assert train.state == {'n': 5}


def test_another_run_starts_afresh():
    train = Counter({'n': 5})
    checkpoint = dict(loops={'train_loop': {'n': 1}})
    LoopStateHook().after_load_checkpoint(runner_of(train, None, resume=False), checkpoint)
    assert train.state == {'n': 5}

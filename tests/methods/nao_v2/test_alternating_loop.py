"""Phases of training and search in a real Runner: what a phase does, kills in each part of one."""

import json
import os
import signal
import socket
import time
from collections import Counter

import pytest
import torch
import torch.multiprocessing as mp
from killed_run import in_a_process, kill, train
from made_phases import EPOCHS, LAST, NEW, PHASES, POOL, Record, nao_search, ratings_of
from mmengine.config import Config
from mmengine.hooks import Hook

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.dry_run import dry_run
from cream_mm.evaluation import ArchEvaluator
from cream_mm.methods.nao_v2 import AlternatingLoop, Controller, NAOSearch
from cream_mm.testing import differences, run_differences, write_image_folder


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    """Formatting a config takes longer than training here."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


class Kill(Hook):
    """SIGKILL at a step, at the n-th rating, the n-th step of a fit, or after a phase."""

    priority = 'LOWEST'

    def __init__(self, moment, number):
        self.moment, self.number = moment, number

    def before_train(self, runner):
        if self.moment == 'rating':
            rate, count = ArchEvaluator.rate, [0]

            def counted(evaluator, arch):
                count[0] += 1
                return kill() if count[0] == self.number else rate(evaluator, arch)

            ArchEvaluator.rate = counted  # in a process of its own
        if self.moment == 'fit':
            losses, steps = Controller.losses, []

            def counted_losses(*args):
                steps.append(args)
                return kill() if len(steps) == self.number else losses(*args)

            Controller.losses = counted_losses

    def before_train_epoch(self, runner):
        if (self.moment, self.number) == ('phase', runner.train_loop.phase):
            kill()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (self.moment, self.number) == ('step', runner.iter):
            kill()


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """A run from beginning to end, and its steps."""
    folder, record = tmp_path_factory.mktemp('runs') / 'whole', Record()
    train(nao_search(data, folder), record)
    return folder, record


# ---- one run -----------------------------------------------------------------------------------


def test_a_phase_trains_what_the_one_before_led_to(whole):
    folder, record = whole
    assert [len(pool) for pool in record.pools] == [POOL, POOL, NEW, NEW, NEW, NEW]
    pools = record.pools[::2]
    assert record.pools[1::2] == pools and len({*pools[0], *pools[1], *pools[2]}) == POOL + 2 * NEW
    per_phase = len(record.steps) // PHASES
    for phase, pool in enumerate(pools):
        steps = record.steps[phase * per_phase : (phase + 1) * per_phase]
        assert {arch for arch, _ in steps} <= set(pool)
        # Half a cosine of two epochs: its middle and its end.
        rates = [lr for _, lr in steps]
        half = per_phase // 2
        assert rates == pytest.approx([0.03] * half + [0.01] * (per_phase - half), abs=1e-15)


def test_the_archive_is_rated_anew_after_each_phase(whole):
    """By other weights each time, and no path twice by the same."""
    folder, record = whole
    keys = Counter(line['key'] for line in ratings_of(folder))
    both = Counter((line['key'], str(line['arch'])) for line in ratings_of(folder))
    assert max(both.values()) == 1
    beside = 4  # two random ones, the cheapest, the costliest
    assert list(keys.values()) == [POOL, POOL + NEW, POOL + 2 * NEW + beside]
    for number in (1, 2):
        content = json.loads((folder / f'phase_{number}.json').read_text())
        rated = {str(line['arch']): -line['loss'] for line in ratings_of(folder)
                 if line['key'] == content['key']}  # fmt: skip
        assert {str(arch): score for arch, score in content['scores']} == rated
        assert content['pool'] == [arch.to_list() for arch in record.pools[2 * number]]


def test_what_is_in_a_checkpoint(whole):
    folder, record = whole
    state = load_checkpoint_file(folder / 'epoch_4.pth')['loops']['train_loop']
    assert state['phase'] == 1  # the second phase is over; what it leads to is not known yet
    assert state['sampler']['pool'] == [arch.to_list() for arch in record.pools[2]]
    archive = [*record.pools[0], *record.pools[2]]
    assert state['archive'] == [arch.to_list() for arch in archive]
    assert state['strategy']['fits'] == 1 and len(state['strategy']['scored']) == POOL


# ---- kills -------------------------------------------------------------------------------------

MANY = [('step', 2), ('rating', 3), ('fit', 5), ('phase', 1), ('rating', 5), ('phase', 2),
        ('rating', 9)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['nao', 'evolution'])
def test_a_killed_run_ends_as_the_whole_one(data, tmp_path, strategy):
    """Killed while it trains, rates, fits, after a phase, and in the last rating."""
    whole = nao_search(data, tmp_path / 'whole', strategy)
    assert in_a_process(whole) == 0
    kills = [kill for kill in MANY if strategy == 'nao' or kill[0] != 'fit']
    for i, moment in enumerate(kills):
        cfg = nao_search(data, tmp_path / 'run', strategy)
        assert in_a_process(cfg, Kill(*moment), resume=i > 0) == -signal.SIGKILL, moment
    assert in_a_process(nao_search(data, tmp_path / 'run', strategy), resume=True) == 0
    assert run_differences(tmp_path / 'run', tmp_path / 'whole', LAST) == []
    names = ('phase_1.json', 'phase_2.json', 'search.json', 'best_arch.json', 'front.json')
    for name in names:
        run, whole = (json.loads((tmp_path / run / name).read_text()) for run in ('run', 'whole'))
        for content in (run, whole):
            content.pop('checkpoint', None)  # a resumed run names the one it went on from
        assert run == whole
    both = Counter((line['key'], str(line['arch'])) for line in ratings_of(tmp_path / 'run'))
    assert max(both.values()) == 1
    assert len(both) == len(ratings_of(tmp_path / 'whole'))


def test_nothing_is_fitted_again(data, whole, tmp_path, monkeypatch):
    """From a checkpoint of before, with the phase's file there: neither rated nor asked."""
    folder, record = whole
    copy = tmp_path / 'run'
    copy.mkdir()
    for name in ('epoch_2.pth', 'phase_1.json', 'path_log.jsonl'):
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / 'last_checkpoint').write_text(str(copy / 'epoch_2.pth'))
    cfg = nao_search(data, copy, **{'train_cfg.rate_at_end': False})
    cfg.resume = True
    runner = Runner.from_cfg(cfg)
    fitted, fit = [], NAOSearch.fit
    monkeypatch.setattr(
        NAOSearch, 'fit', lambda search: fitted.append(len(search.scored)) or fit(search)
    )
    again = Record()
    runner.register_hook(again)
    runner.train()
    assert again.pools[0] == record.pools[2]
    assert fitted == [POOL + NEW]  # that of the second phase alone
    assert Counter(line['key'] for line in ratings_of(copy)).most_common()[0][1] == POOL + NEW


def test_a_resumed_run_has_phases_of_the_same_length(data, whole, tmp_path):
    """With longer ones the second would be passed over: nothing would be rated after it."""
    folder, _ = whole
    copy = tmp_path / 'run'
    copy.mkdir()
    (copy / 'epoch_4.pth').write_bytes((folder / 'epoch_4.pth').read_bytes())
    (copy / 'last_checkpoint').write_text(str(copy / 'epoch_4.pth'))
    options = {'train_cfg.phases': 2, 'param_scheduler.phases': 2}
    with pytest.raises(ValueError, match='phases of 2 epochs; max_epochs and phases .* of 3'):
        train(nao_search(data, copy, **options), resume=True)


@pytest.mark.parametrize('damage', ['{', '[]', 'pool'])
def test_a_damaged_file_of_a_phase_is_found_again(data, whole, tmp_path, damage):
    folder, record = whole
    content = json.loads((folder / 'phase_1.json').read_text())
    text = json.dumps(dict(content, pool=[[[9]]])) if damage == 'pool' else damage
    cfg = nao_search(data, tmp_path / 'run', **{'train_cfg.rate_at_end': False})
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/phase_1.json').write_text(text)
    again = Record()
    train(cfg, again)
    assert again.pools == record.pools
    assert json.loads((tmp_path / 'run/phase_1.json').read_text()) == content


# ---- wrong settings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'train_cfg.phases': 4}, 'max_epochs=6 is not 4 phases of as many epochs each: take 8'),
        ({'train_cfg.phases': 0}, 'phases of the train_cfg is a number from 1; got 0'),
        ({'train_cfg.num_new': 2.5}, 'num_new of the train_cfg is a number from 1; got 2.5'),
        ({'train_cfg.sampler.type': 'cream_mm.FairPathSampler', 'train_cfg.sampler.pool_size': 3},
         'pool_size'),
        ({'train_cfg.sampler.official': True}, 'set official=True in both or in none'),
        ({'train_cfg.strategy.type': 'cream_mm.TrainingEffectsSearch'}, 'has no .*epochs'),
    ],
)  # fmt: skip
def test_wrong_settings(data, tmp_path, options, message):
    cfg = nao_search(data, tmp_path / 'run', **options)
    with pytest.raises((ValueError, TypeError), match=message):
        train(cfg)


def test_a_test_loop_that_rates_nothing(data, tmp_path):
    cfg = nao_search(data, tmp_path / 'run')
    cfg.test_cfg = dict(type='TestLoop')
    with pytest.raises(ValueError, match='AlternatingLoop rates paths between its phases'):
        train(cfg)
    sampler = dict(type='cream_mm.PathSampler')
    cfg = nao_search(data, tmp_path / 'run2')
    cfg.train_cfg.sampler = sampler
    with pytest.raises(ValueError, match='PathSampler has none'):
        train(cfg)


def test_is_a_supernet_train_loop():
    assert AlternatingLoop.nested_arguments()['sampler'] >= {'seed'}


# ---- ranks -------------------------------------------------------------------------------------


def rank_main(rank, port, data, folder):
    env = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({key: str(value) for key, value in env.items()})
    torch.set_num_threads(1)
    Config.pretty_text = 'seed = 3'
    cfg = nao_search(data, folder / 'run', launcher='pytorch')
    cfg.env_cfg = dict(dist_cfg=dict(timeout=60))
    cfg.model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')
    cfg.custom_hooks = [dict(type='cream_mm.NormStatsHook')]
    record = Record()
    runner = train(cfg, record)
    saved = dict(
        steps=str(record.steps), pools=str(record.pools), state=runner.model.module.state_dict(),
        strategy=str(runner.train_loop.strategy.state_dict()),
    )  # fmt: skip
    torch.save(saved, folder / f'rank{rank}.pt')


@pytest.mark.slow
def test_all_ranks_draw_rate_and_fit_alike(data, tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.start_processes(rank_main, (port, data, tmp_path), 2, start_method='spawn')
    ours, theirs = (torch.load(tmp_path / f'rank{r}.pt', weights_only=True) for r in (0, 1))
    assert differences(ours.pop('state'), theirs.pop('state')) == []
    assert ours == theirs
    both = Counter((line['key'], str(line['arch'])) for line in ratings_of(tmp_path / 'run'))
    assert max(both.values()) == 1


def test_a_dry_run_tells_what_lies_between_the_phases(data, tmp_path):
    cfg = nao_search(data, tmp_path / 'dry')
    found = dry_run(Runner.from_cfg(cfg), time.perf_counter())
    stages = {stage.name: stage for stage in found.stages}
    # The archive at the ends of the first two phases, then with the third pool and the references.
    assert stages['rating between phases'].number == POOL + (POOL + NEW)
    assert stages['rating'].number == POOL + 2 * NEW + 2 + 2
    assert stages['new pools'].number == PHASES - 1
    assert stages['rating between phases'].seconds_each == stages['rating'].seconds_each
    assert (found.max_epochs, found.multiple) == (EPOCHS, PHASES)
    assert not list((tmp_path / 'dry').glob('phase_*'))

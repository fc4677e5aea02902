import pytest

from cream_mm.apis.open_search import open_search, search_config


def config(folder, test_cfg):
    path = folder / 'config.py'
    path.write_text(f'default_scope = "mmpretrain"\nmodel = dict()\ntest_cfg = {test_cfg}\n')
    return str(path)


@pytest.mark.parametrize('test_cfg', ['None', 'dict()', 'dict(type="TestLoop")'])
def test_a_config_without_a_search_is_refused(tmp_path, test_cfg):
    with pytest.raises(ValueError, match='config.py is not the config of a search'):
        search_config(config(tmp_path, test_cfg))


@pytest.mark.parametrize('kind', ['SearchLoop', 'BoardRatingLoop'])
def test_one_with_any_search_loop_is_taken(tmp_path, kind):
    path = config(tmp_path, f'dict(type="cream_mm.{kind}", num_random=4)')
    assert search_config(path, {'test_cfg.num_random': 7}).test_cfg.num_random == 7


def test_a_missing_checkpoint_is_told_before_anything_is_built(tmp_path):
    path = config(tmp_path, 'dict(type="cream_mm.SearchLoop")')
    opened = open_search(path, str(tmp_path / 'a.pth'), str(tmp_path / 'out'))
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*a\.pth'), opened:
        pass
    assert not (tmp_path / 'out').exists()


def test_a_loop_that_ends_a_search_in_another_way_says_what_to_do(tmp_path):
    path = config(tmp_path, 'dict(type="cream_mm.BlockRatingLoop")')
    with pytest.raises(ValueError, match='searches by BlockRatingLoop, not by whole paths: ') as e:
        search_config(path)
    assert 'tools/test.py CONFIG CHECKPOINT --cfg-options budget.macs_m=[LOW,HIGH]' in str(e.value)
    assert '\n' not in str(e.value)


def test_a_strategy_takes_the_place_of_the_configs_with_all_its_settings(tmp_path, monkeypatch):
    path = config(
        tmp_path,
        'dict(type="cream_mm.SearchLoop", num=9, '
        'strategy=dict(type="cream_mm.RegularizedEvolution", tournament=7))',
    )
    (tmp_path / 'a.pth').touch()
    found = []

    def stop(cfg):
        found.append(cfg.test_cfg)
        raise KeyboardInterrupt

    monkeypatch.setattr('cream_mm.engine.Runner.from_cfg', stop)
    other = dict(strategy=dict(type='random', seed=3))
    opened = open_search(path, str(tmp_path / 'a.pth'), str(tmp_path / 'out'), None, other)
    with pytest.raises(KeyboardInterrupt), opened:
        pass
    assert found[0].strategy == dict(type='random', seed=3) and found[0].num == 9

"""What a comparison trains after a search, read from the search's files."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import print_log

from cream_mm.apis.compare import FinishedSearch, Trainer, shelf_config
from cream_mm.apis.reference_networks import SLACK, Slice
from cream_mm.costs import Budget, build_cost_model
from cream_mm.files import write_json
from cream_mm.files.arch_file import arch_content
from cream_mm.files.front_file import front_content
from cream_mm.files.slice_of import slice_content
from cream_mm.models.backbones.published import published_nets
from cream_mm.search import PathSampler
from cream_mm.spaces import ElasticSpace


@pytest.fixture
def search(tmp_path):
    """A work directory whose front has networks of 0.69 and of 0.42 of the MACs."""
    arch, skeleton = published_nets['lite0'].network()
    space = ElasticSpace(skeleton, arch, input_sizes=(128, 96))
    costs = build_cost_model(space, 128, 10)
    whole = costs.cost(space.full_path).in_units()['macs_m']
    archs = [
        PathSampler(space, Budget(costs, macs_m=(low * whole, high * whole))).sample(0)
        for low, high in ((0.68, 0.7), (0.41, 0.43))
    ]
    network, table = costs.network(archs[0])
    content = {**arch_content(network, table), **slice_content(costs, archs[0])}
    write_json(tmp_path / 'best_arch.json', content)
    front = front_content(
        Budget(costs), 'macs_m', score='cross_entropy', higher_is_better=False, by='ratings',
        steps=[(0.0, arch) for arch in archs], references=[], published={}, answer=archs[0],
        ratings=dict.fromkeys(archs, {}),
    )  # fmt: skip
    write_json(tmp_path / 'front.json', front)
    (tmp_path / 'full.pth').write_bytes(b'')
    return FinishedSearch(tmp_path), [Slice(space, one) for one in archs]


def test_without_a_random_path_of_that_cost(search, monkeypatch):
    """A small network's space may have none that the draw finds: the others are trained."""

    def none(*args):
        raise ValueError('found no path')

    monkeypatch.setattr('cream_mm.apis.compare.random_paths', none)
    said = []
    names = [one.name for one in search[0].networks([0.5], say=said.append)]
    assert 'random-50 is left out: found no path' in said
    assert not any(name.startswith('random') for name in names) and names[-2:] == [
        'scratch', 'mobilenet-v2',
    ]  # fmt: skip


def test_what_is_trained(search):
    search, (large, small) = search
    assert (search.found(0.7), search.found(0.5)) == (large, small)
    said = []
    networks = {one.name: one for one in search.networks([0.5, 0.7], say=said.append)}
    assert len(search.networks([0.7, 0.7], say=said.append)) == len(networks) - 5  # each once
    assert list(networks)[:4] == ['teacher', 'full', 'found-70', 'lower-size-70']
    assert list(networks)[-3:] == ['random-2-50', 'scratch', 'mobilenet-v2']
    assert networks['scratch'].slices == networks['found-50'].slices == (small,)
    assert networks['scratch'].epochs == 60 and networks['found-50'].epochs is None
    # Of 0.5 the front has 0.42: the references are held to that; of 0.7 they are not to 0.69.
    cost = search.share_of(small)
    # Fewer layers alone do not make it so cheap.
    assert [line.partition(' is left out')[0] for line in said] == ['shallower-50']
    for kind in ('narrower', 'random-1', 'random-2'):
        (one,) = networks[f'{kind}-50'].slices
        assert cost - 2 * SLACK < search.share_of(one) <= cost
    assert search.share_of(networks['narrower-70'].slices[0]) > search.share_of(large)
    exact = {one.name: one for one in search.networks([0.5], hold_to_found=False)}
    for kind in ('narrower', 'shallower', 'random-1'):
        assert 0.5 - SLACK <= search.share_of(exact[f'{kind}-50'].slices[0]) <= 0.5


def test_a_share_that_the_front_does_not_reach(search):
    with pytest.raises(ValueError, match='none 0.3 or less: search within another budget'):
        search[0].networks([0.3])


def test_another_search_is_refused(search, tmp_path):
    arch, skeleton = published_nets['lite0'].network()
    write_json(tmp_path / 'best_arch.json', arch_content(arch, build_cost_model(skeleton, 128)))
    with pytest.raises(ValueError, match='no slice of a full network: a comparison is of a search'):
        FinishedSearch(tmp_path)


def test_images_with_several_labels_are_refused(search, tmp_path):
    write_json(tmp_path / 'best_arch.json', dict(search[0].about, multi_label=True))
    with pytest.raises(ValueError, match='is of images with several labels'):
        FinishedSearch(tmp_path)


def test_a_record_is_not_made_twice(search, tmp_path):
    trainer = Trainer(search[0], tmp_path / 'out', root='.', seed=2)
    network = search[0].networks([0.7])[2]
    assert trainer.folder(network) == tmp_path / 'out/found-70-seed2'
    record = dict(format='cream_mm.comparison/1', name='found-70', hits='10', losses=[0.1, 2.0],
                  num_images=2)  # fmt: skip
    write_json(tmp_path / 'out/found-70-seed2/record.json', record)
    assert trainer.run(network) == record
    write_json(tmp_path / 'out/found-70-seed2/record.json', dict(record, hits='1'))
    with pytest.raises(ValueError, match='no record of a comparison.*Remove it'):
        trainer.run(network)


def test_a_record_of_another_training_is_not_taken(search, tmp_path):
    """The table would set networks of 12 epochs beside those of 3, or of two searches."""
    search, (large, small) = search
    network = next(one for one in search.networks([0.7]) if one.name == 'found-70')
    costs = build_cost_model(large.space, 128, 10)
    record = dict(format='cream_mm.comparison/1', name='found-70', hits='10', losses=[0.1, 2.0],
                  num_images=2, epochs=12, options=['lr=1'], full=search.digest,
                  **slice_content(costs, large.arch))  # fmt: skip
    trainer = Trainer(search, tmp_path / 'out', root='.', options=['lr=1'])
    for changed, why in (
        ({}, None),
        (dict(epochs=3), '3 epochs, not 12'),
        (dict(options=[]), 'other --cfg-options: none, not lr=1'),
        (dict(full='0'), 'an earlier search'),
        (slice_content(costs, small.arch), 'another network, of a front before this one'),
    ):
        write_json(tmp_path / 'out/found-70/record.json', {**record, **changed})
        if why is None:
            assert trainer.record(network) == trainer.run(network)
            continue
        with pytest.raises(ValueError, match=f'record.json is of {why}.*Remove its folder'):
            trainer.run(network)
    for one in search.networks([0.5, 0.7]):  # each knows its own again
        costs = build_cost_model(one.slices[-1].space, 128, 10)
        epochs = (one.epochs or 12) if one.is_trained else 0
        content = {**record, 'epochs': epochs, **slice_content(costs, one.slices[-1].arch)}
        write_json(trainer.folder(one) / 'record.json', content)
        assert trainer.record(one)['epochs'] == epochs


def test_a_size_is_chosen_by_the_hold_out_without_a_line(search, tmp_path, monkeypatch, capfd):
    search, _ = search
    (tmp_path / 'search.py').touch()
    network = next(n for n in search.networks([0.5]) if n.kind == 'lower-size')
    rated = []

    @contextmanager
    def opened(config, checkpoint, work_dir, options):
        print_log('input_sizes: 1 place (model)', 'current')
        space = replace(search.space, input_sizes=tuple(options['input_sizes']))
        loop = SimpleNamespace(
            budget=SimpleNamespace(cost_model=SimpleNamespace(space=space)),
            build_evaluator=lambda: SimpleNamespace(rate_all=lambda paths, say: rate(space, paths)),
        )
        yield loop

    def rate(space, paths):
        rated.extend(map(space.input_size, paths))
        return [SimpleNamespace(loss=loss) for loss in (2.0, 1.0)]

    monkeypatch.setattr('cream_mm.apis.compare.open_search', opened)
    one, losses = Trainer(search, tmp_path, root='.').choose(network, tmp_path)
    assert one == network.slices[1] and losses == dict(zip(map(str, rated), (2.0, 1.0)))
    assert rated == [slice.space.input_size(slice.arch) for slice in network.slices]
    assert 'input_sizes' not in ''.join(capfd.readouterr())


def test_mobilenet_keeps_the_normalisation_that_its_teacher_knows(tmp_path):
    (tmp_path / 'export').mkdir()
    retrain = tmp_path / 'export/retrain.py'
    retrain.write_text(
        "num_classes = 7\nload_from = 'weights.pth'\n"
        "model = dict(backbone=dict(type='Other', arch=1),"
        " head=dict(type='AHead', hidden_channels=5, loss=dict(type='LabelSmoothLoss')),"
        ' teacher=dict(checkpoint=1), data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3))\n'
    )
    (tmp_path / 'retrain.py').write_text(shelf_config(retrain))
    cfg = Config.fromfile(str(tmp_path / 'retrain.py'))
    assert cfg.load_from is None and cfg.model.teacher == dict(checkpoint=1)
    assert cfg.model.backbone == dict(
        type='cream_mm.MobileNetV2', mean=[127.0] * 3, std=[128.0] * 3
    )
    assert cfg.model.head == dict(
        type='LinearClsHead', num_classes=7, in_channels=1280, loss=dict(type='LabelSmoothLoss')
    )

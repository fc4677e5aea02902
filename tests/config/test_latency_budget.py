import json

import pytest
from made_latency import by_hand, made_ms, made_rows, made_table
from mmengine.config import Config

from cream_mm.config.latency_budget import fit_latency
from cream_mm.config.load import load_config
from cream_mm.costs import build_cost_model
from cream_mm.environment import processor_name
from cream_mm.models.backbones.published import published_nets
from cream_mm.spaces import ElasticSpace, MBConvSpace, NASBench201Space, build_space
from cream_mm.testing import tiny_space

MACHINE = dict(processor='Other CPU', threads=1, device='cpu', backend='onnxruntime',
               dtype='float32')  # fmt: skip
CHECK = dict(networks=30, mean_error_pct=3.0, tau=0.95)
CELLS = [[(1, 24), (2, 32)], [(1, 40), (2, 48)]]
BLOCKS = dict(preset='dna', strides=(2, 2), cells=CELLS, choices=[(3, 3), (5, 6)])


def networks(tmp_path, space=None, *, machine=MACHINE, name='t.json', **changes):
    """A file with times at 8 and 16 pixels, and of the backbone alone at 16."""
    space = space or tiny_space()
    table = dict(input_size=[8, 8], batch=1, head='classifier', num_classes=3, head_channels=16,
                 check=CHECK, **made_table(space)) | changes  # fmt: skip
    at_16 = dict(table, input_size=[16, 16], **made_table(space, fixed=0.7))
    tables = [table, at_16, dict(at_16, head=None, **made_table(space, fixed=0.1))]
    content = dict(format='cream_mm.latency/1', unit='ms', space=space.to_dict(), machine=machine,
                   tables=tables)  # fmt: skip
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return str(path)


def layers(tmp_path, rows, **changes):
    path = tmp_path / 'rows.json'
    content = dict(format='cream_mm.latency_rows/1', unit='ms', batch=1, dtype='float32', rows=rows)
    path.write_text(json.dumps(content | changes))
    return str(path)


def spos(latency, *, size=8, budget=None, **costs):
    counted = dict(input_size=size, num_classes=3, head_channels=16, **costs)
    backbone = dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), costs=counted,
                    budget=budget or {})  # fmt: skip
    return Config(dict(model=dict(type='ImageClassifier', backbone=backbone), latency=latency))


def fit(cfg):
    said = []
    fit_latency(cfg, said.append)
    return said


@pytest.mark.parametrize(('size', 'costs', 'fixed'), [
    (8, {}, 0.5), (16, {}, 0.7), ((16, 16), dict(head=None), 0.1),
])  # fmt: skip
def test_the_table_of_the_size_and_head_goes_among_the_costs(tmp_path, size, costs, fixed):
    cfg = spos(networks(tmp_path), size=size, **costs)
    (line,) = fit(cfg)
    assert cfg.model.backbone.costs.latency == made_table(tiny_space(), fixed=fixed)
    assert 'measured on Other CPU with onnxruntime, 1 thread; this machine is another: ' in line
    assert cfg.latency.table.machine == MACHINE and cfg.latency.table.check == CHECK
    build_cost_model(tiny_space(), **cfg.model.backbone.costs)


def test_this_machine(tmp_path):
    machine = dict(MACHINE, processor=processor_name())
    (line,) = fit(spos(networks(tmp_path, machine=machine)))
    assert line.endswith('; this machine is the same')


def test_a_model_that_counts_its_paths_itself(tmp_path):
    model = dict(
        type='cream_mm.Cream', input_size=8, budget=dict(latency_ms=(0, 2)),
        backbone=dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), costs=None),
        head=dict(type='cream_mm.CreamClsHead', num_classes=3, hidden_channels=16),
    )  # fmt: skip
    cfg = Config(dict(model=model, latency=networks(tmp_path)))
    fit(cfg)
    assert cfg.model.latency == made_table(tiny_space())
    assert cfg.model.backbone.costs is None


def test_a_dumped_config_needs_no_file(tmp_path):
    path = networks(tmp_path)
    cfg = spos(path)
    fit(cfg)
    cfg.dump(str(tmp_path / 'dumped.py'))
    (tmp_path / 't.json').unlink()
    again = Config.fromfile(str(tmp_path / 'dumped.py'))
    assert fit(again) == [] and again.model == cfg.model
    again.model.backbone.costs.input_size = 16  # other times
    with pytest.raises(FileNotFoundError, match='t.json'):
        fit(again)
    taken_back = Config.fromfile(str(tmp_path / 'dumped.py'))
    taken_back.latency = None
    fit(taken_back)
    assert 'latency' not in taken_back.model.backbone.costs


def test_cells_are_timed_by_edge(tmp_path):
    space = NASBench201Space()
    path = networks(tmp_path, space)
    backbone = dict(type='cream_mm.NASBench201Supernet', space={},
                    costs=dict(input_size=16, num_classes=3, head_channels=16))  # fmt: skip
    cfg = Config(dict(model=dict(backbone=backbone), latency=path))
    fit(cfg)
    costs = build_cost_model(space, **cfg.model.backbone.costs)
    table = made_table(space, fixed=0.7)
    flat = [time for node in table['choices_ms'] for time in node]
    choices = [1, 2, 3, 4, 0, 3]
    expected = table['fixed_ms'] + sum(times[c] for times, c in zip(flat, choices))
    assert costs.cost(space.decode(choices)).latency_ms == pytest.approx(expected, rel=1e-12)


def test_layers_of_another_device(tmp_path):
    """They become the space's own nested times; of blocks those rows stay that it has."""
    space = MBConvSpace(depths=(1, 2, 1, 1, 1))
    rows = made_rows(space, 64)
    cfg = spos(layers(tmp_path, rows), size=64)
    cfg.model.backbone.space = space.to_dict()
    cfg.model.backbone.costs = dict(input_size=64, num_classes=10)
    said = fit(cfg)
    assert any('no whole network was compared' in line for line in said)
    found = cfg.model.backbone.costs.latency
    costs = build_cost_model(space, 64, 10)
    row = dict(costs.layer_table(space.decode([4] * 6))[3], in_size=[16, 16])
    assert (row['name'], row['kernel'], row['expand']) == ('blocks.2.0', 7, 4)
    assert found['choices_ms'][1][0][4] == made_ms(row)
    assert list(map(len, found['choices_ms'])) == [1, 2, 1, 1, 1]

    blocks = build_space(dict(BLOCKS, type='BlockSpace'))
    needed = made_rows(blocks, 32)
    foreign = [row for row in rows if row['op'] == 'mbconv' and row['kernel'] == 7]
    backbone = dict(type='cream_mm.BlockSupernet', space=BLOCKS,
                    costs=dict(input_size=32, num_classes=10))  # fmt: skip
    cfg = Config(dict(model=dict(backbone=backbone), latency=layers(tmp_path, foreign + needed)))
    fit(cfg)
    kept = cfg.model.backbone.costs.latency['rows']
    assert sorted(map(str, kept)) == sorted(map(str, needed))
    short = layers(tmp_path, [row for row in needed if row.get('out_channels') != 48])
    cfg = Config(
        dict(model=dict(backbone=dict(backbone, costs=dict(input_size=32))), latency=short)
    )
    with pytest.raises(ValueError, match=r'rows.json: the table .* no row for \d+ layers'):
        fit(cfg)


def test_slices_of_several_sizes(tmp_path):
    """A table of layers serves all sizes at once, and keeps what some path needs."""
    sizes = dict(input_sizes=[64, 48], expansions=(6, 3), kernels=(5, 3))
    counted = dict(input_size=64, num_classes=10)
    backbone = dict(type='cream_mm.ElasticSupernet', arch='lite0', **sizes, costs=counted)
    lite0 = MBConvSpace.build('lite0')
    rows = [row for size in (64, 48) for row in made_rows(lite0, size)]
    cfg = Config(dict(model=dict(backbone=backbone), latency=layers(tmp_path, rows)))
    fit(cfg)
    kept = cfg.model.backbone.costs.latency['rows']
    assert 0 < len(kept) < len(rows) and {row.get('kernel') for row in kept} == {3, 5, 1, None}
    full = ElasticSpace('lite0', published_nets['lite0'].arch, **sizes)
    costs = build_cost_model(full, 64, 10, latency=dict(rows=kept))
    small = full.decode([*full.encode(full.full_path)[:-1], 1])
    network, plain = full.network(small)
    assert costs.cost(small).latency_ms == pytest.approx(by_hand(plain, network, 48))
    one = layers(tmp_path, made_rows(lite0, 64))
    cfg = Config(dict(model=dict(backbone=backbone), latency=one))
    with pytest.raises(ValueError, match=r'no row for 30 layers .*\n  stem .*in_size=48x48'):
        fit(cfg)


def refused():
    other = MBConvSpace(**{**tiny_space().to_dict(), 'depths': (1, 2), 'act': 'relu'})
    cells = NASBench201Space()
    return [
        (dict(), dict(size=12), 't.json has no times of 12x12, with a classifier, batch 1, '
         'float32; it has: 8x8, with a classifier.*build CONFIG --size 12 --out latency_12.json'),
        (dict(), dict(head=None), 'no times of 8x8, a backbone alone, .*--head none'),
        (dict(batch=8), dict(), 'no times of 8x8, with a classifier, batch 1, .* batch 8, float32'),
        (dict(machine=dict(MACHINE, dtype='int8')), dict(), 'batch 1, float32; it has: .*int8'),
        (dict(space=other), dict(),
         r"of another space: depths: \[1, 2\], here \[2, 2\]; act: relu, here silu"),
        (dict(space=cells), dict(), 'another space: NASBench201Space, here MBConvSpace'),
    ]  # fmt: skip


@pytest.mark.parametrize(('file', 'config', 'message'), refused())
def test_what_does_not_fit_is_refused(tmp_path, file, config, message):
    with pytest.raises(ValueError, match=message):
        fit(spos(networks(tmp_path, **file), **config))


def test_batch_and_dtype_are_asked_for(tmp_path):
    path = networks(tmp_path, batch=8, machine=dict(MACHINE, dtype='int8'))
    fit(spos(dict(file=path, batch=8, dtype='int8')))
    with pytest.raises(ValueError, match='latency.size: it knows file, batch, dtype, unit'):
        fit(spos(dict(file=path, size=8)))
    with pytest.raises(ValueError, match='latency is the path of a table'):
        fit(spos(dict(batch=8)))


def test_lines_of_what_is_in_doubt(tmp_path):
    rough = networks(tmp_path, check=dict(CHECK, mean_error_pct=14.2))
    cfg = spos(rough, budget=dict(latency_ms=(0, 100)))
    cfg.model.backbone.costs.num_classes = 7
    said = fit(cfg)
    assert said[1].endswith('are 14.2 % off on average and rank them with tau=0.95: rough')
    assert 'measured with num_classes=3, here 7: the head is not rescaled' in said[2]
    costs = build_cost_model(tiny_space(), 8, latency=made_table(tiny_space()))
    low, high = (end['latency_ms'] for end in costs.extremes())
    assert said[3].endswith(
        'budget latency_ms=(0, 100) leaves out nothing: the networks of this space lie between '
        f'{low:.3f} and {high:.3f} ms'
    )
    untold = layers(tmp_path, made_rows(tiny_space(), 8, 3, 16), batch=None, dtype=None)
    said = fit(spos(untold))
    assert 'does not tell its batch and dtype; it is read as batch 1, float32' in said[1]


def test_a_budget_without_a_table():
    cfg = spos(None, budget=dict(latency_ms=(0, 5)))
    with pytest.raises(
        ValueError, match=r'latency_ms=\(0, 5\) needs measured times: "python tools'
    ):
        fit(cfg)
    cfg = Config(dict(model=cfg.model))
    with pytest.raises(ValueError, match='build CONFIG --size 8 --out latency.json"'):
        fit(cfg)
    fit(spos(None, budget=dict(latency_ms=(None, None))))
    fit(spos(None, budget=dict(latency_ms=None)))
    cfg.model.backbone.costs.latency = made_table(tiny_space())  # given by hand
    assert fit(cfg) == []


def test_cells_whose_times_do_not_add_up(tmp_path):
    backbone = dict(type='cream_mm.NAOSupernet', space=dict(channels=8, num_cells=1),
                    costs=dict(input_size=16, num_classes=3))  # fmt: skip
    cfg = Config(
        dict(model=dict(backbone=backbone), latency=layers(tmp_path, made_rows(tiny_space(), 16)))
    )
    with pytest.raises(ValueError, match='rows.json: latency: the times of the choices of NAO'):
        fit(cfg)


def test_no_search_needs_none(tmp_path):
    cfg = Config(
        dict(model=dict(backbone=dict(type='cream_mm.CreamNet', arch='lite0')), latency='x')
    )
    assert fit(cfg) == ['latency: this config searches nothing, so that its table is not used']


def test_load_config(tmp_path):
    """By the command line, over the shipped configs: refused or fitted before anything else."""
    config = 'configs/spos/search_imagenet.py'
    with pytest.raises(ValueError, match='build configs/spos/search_imagenet.py --size 64'):
        load_config(config, {'budget.latency_ms': [0, 5], 'input_size': 64}, check_data=False)
    rows = made_rows(MBConvSpace(depths=(2,) * 5), 64, 1000)
    options = {'budget.macs_m': None, 'budget.latency_ms': [0, 20], 'input_size': 64,
               'latency': layers(tmp_path, rows)}  # fmt: skip
    cfg = load_config(config, options, check_data=False)
    assert cfg.model.backbone.budget == dict(macs_m=None, latency_ms=[0, 20])
    assert len(cfg.model.backbone.costs.latency['choices_ms']) == 5
    cfg.dump(str(tmp_path / 'dumped.py'))
    again = load_config(str(tmp_path / 'dumped.py'), check_data=False)
    assert again.model == cfg.model and again.latency == cfg.latency

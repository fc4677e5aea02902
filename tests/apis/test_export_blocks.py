"""The answer of a search whose weights mean nothing in the network: from its file to a training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from cream_mm.apis.correlate import correlate
from cream_mm.apis.export_arch import FROM_SCRATCH, export_arch, export_front
from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.files.answer_file import answer_content
from cream_mm.files.block_ratings import read_block_ratings, read_block_space, sum_of_ratings
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.testing import write_image_folder

ROOT = str(Path(__file__).parents[2])


def read(path):
    return json.loads(Path(path).read_text())


@pytest.fixture(scope='module')
def exported(block_run, tmp_path_factory):
    out, said = tmp_path_factory.mktemp('export'), []
    files = export_arch(str(block_run / 'best_arch.json'), None, out, root=ROOT, say=said.append)
    return files, said


def test_no_weights_are_cut_though_checkpoints_lie_there(block_run, exported):
    files, said = exported
    assert list(block_run.glob('*.pth')) and set(files) == {'arch', 'retrain', 'detector'}
    assert said == [FROM_SCRATCH]
    assert sorted(p.name for p in files['arch'].parent.iterdir()) == [
        'arch.json', 'retinanet.py', 'retrain.py',
    ]  # fmt: skip
    for key in ('retrain', 'detector'):
        text = files[key].read_text()
        assert 'init_cfg' not in text.partition('data_root =')[2] and 'weights.pth' not in text
        assert text.splitlines()[1] == (
            '# It starts from scratch: no weights of the supernet fit the network.'
        )
    told = files['detector'].read_text().splitlines()[2:5]
    assert told == [
        '# Train retrain.py first, and name its checkpoint here:',
        '#   --cfg-options model.backbone.init_cfg.type=Pretrained '
        'model.backbone.init_cfg.prefix=backbone. \\',
        '#       model.backbone.init_cfg.checkpoint=FILE',
    ]


def test_a_checkpoint_that_is_named_is_refused(block_run, tmp_path):
    checkpoint = str(block_run / 'epoch_2.pth')
    for export, place in ((export_arch, block_run / 'best_arch.json'), (export_front, block_run)):
        with pytest.raises(ValueError, match='epoch_2.pth: the weights of this supernet mean') as e:
            export(str(place), checkpoint, tmp_path / 'out', root=ROOT)
        assert 'Leave --checkpoint out, and train retrain.py' in str(e.value)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('key', ['retrain', 'detector'])
def test_what_the_teacher_and_the_space_ask_for_arrives(block_run, exported, key):
    """127 and 128 of the teacher's images, and the padding, eps and activation of the space."""
    cfg = Config.fromfile(exported[0][key])
    prep, backbone = cfg.model.data_preprocessor, cfg.model.backbone
    assert (prep.mean, prep.std) == ([127.0] * 3, [128.0] * 3)
    assert prep.get('to_rgb', prep.get('bgr_to_rgb')) is True
    assert backbone.norm_cfg == dict(type='BN', eps=0.003, momentum=0.1)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    arch, space, _ = resolve_arch(str(block_run / 'best_arch.json'))
    assert model.backbone.arch == arch and model.backbone.space == space
    assert (space.padding, space.bn_eps, space.act) == ('same', 0.003, 'relu6')
    assert {m.eps for m in model.backbone.modules() if hasattr(m, 'running_var')} == {0.003}
    if key == 'retrain':
        fills = [step for step in cfg.train_pipeline if step['type'] == 'RandomErasing']
        assert [(s.fill_color, s.fill_std) for s in fills] == [([127.0] * 3, [128.0] * 3)]


def test_a_search_without_labels_goes_on_with_the_folder_s_classes(exported, tmp_path, capsys):
    """Its file has 1000 classes, those of the costs; the folder has six."""
    assert read(exported[0]['arch'])['num_classes'] == 1000
    data = write_image_folder(tmp_path / 'six', classes='abcdef', train=4, val=1, size=(36, 40))
    cfg = load_config(str(exported[0]['retrain']), dict(data_root=str(data), max_epochs=1))
    assert (cfg.num_classes, cfg.model.head.num_classes, cfg.classes) == (6, 6, tuple('abcdef'))
    cfg.work_dir = str(tmp_path / 'train')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.head.classifier.out_features == 6
    (scalars,) = (tmp_path / 'train').glob('*/vis_data/scalars.json')
    assert 'accuracy/top1' in scalars.read_text()


def test_each_network_of_the_front_is_of_its_own_space(block_run, tmp_path):
    """The costliest has other cells than the answer: other depths and other widths."""
    run = tmp_path / 'run'
    shutil.copytree(block_run, run)
    front = read(run / 'front.json')
    widest = next(row for row in front['references'] if row['name'] == 'costliest')
    assert widest['space']['widths'] != front['answer']['space']['widths']
    front['steps'].append(dict(widest, bound=9.0))
    (run / 'front.json').write_text(json.dumps(front))
    said = []
    every = export_front(str(run), None, tmp_path / 'out', root=ROOT, say=said.append)
    assert said == [FROM_SCRATCH] and len(every) == len(front['steps'])
    for step, files in zip(front['steps'], every.values()):
        content = read(files['arch'])
        assert [content[key] for key in ('arch', 'space', 'costs')] == [
            step[key] for key in ('arch', 'space', 'costs')
        ]
        assert 'weights' not in files and content['rating'] == step['rating']
    backbone = Config.fromfile(files['retrain']).model.backbone
    assert backbone.space.widths == widest['space']['widths']


@pytest.mark.parametrize(
    'space',
    [
        dict(widths=[8, 10**7, 16, 16, 24]),
        dict(widths=[10**5] * 5),
        dict(act='__import__'),
        dict(depths='x'),
    ],
)
def test_a_space_in_a_front_is_not_trusted(block_run, tmp_path, space):
    for name in ('front.json', 'best_arch.json'):
        shutil.copy(block_run / name, tmp_path / name)
    front = read(tmp_path / 'front.json')
    front['steps'][0]['space'].update(space)
    (tmp_path / 'front.json').write_text(json.dumps(front))
    with pytest.raises(ValueError, match=r'front.json: the step \S+m is damaged: ') as error:
        export_front(str(tmp_path), None, tmp_path / 'out', root=ROOT)
    assert '\n' not in str(error.value) and not (tmp_path / 'out').exists()


def test_of_a_backbone_alone_the_detector_gets_no_batches_of_small_images(block_run, tmp_path):
    """``costs=dict(head=None)``: 64 images at 32 pixels are no batch of 64 at 800 x 1333."""
    answer = read(block_run / 'best_arch.json')
    for key in ('num_classes', 'head_channels'):
        del answer[key]
    answer.update(task='detection', batch_size=64, num_workers=0)
    for more, batch in (({}, 2), (dict(scale=[96, 96]), 64)):
        (tmp_path / 'best_arch.json').write_text(json.dumps(answer | more))
        out = tmp_path / f'out{batch}'
        files = export_arch(str(tmp_path / 'best_arch.json'), None, out, root=ROOT)
        cfg = Config.fromfile(files['detector'])
        assert (cfg.batch_size, cfg.train_dataloader.batch_size) == (batch, batch)
        assert cfg.data_root == answer['data_root'] and 'weights' not in files
        assert Config.fromfile(files['retrain']).batch_size == 128


# ---- tools that rate again -----------------------------------------------------------------------


def test_another_budget_takes_over_the_ratings(block_run, tmp_path):
    """They lie beside the checkpoint; nothing is rated again, and the answer is the best within."""
    (config,), work_dir = block_run.glob('*.py'), tmp_path / 'test'
    before = (block_run / 'ratings.jsonl').read_bytes()
    cfg = load_config(str(config), {'budget.macs_m': [0.45, 0.6]})
    cfg.update(work_dir=str(work_dir), load_from=str(block_run / 'epoch_2.pth'))
    Runner.from_cfg(cfg).test()
    assert (work_dir / 'ratings.jsonl').read_bytes() == before
    answer = read(work_dir / 'best_arch.json')
    assert 0.45 <= answer['costs']['macs_m'] <= 0.6
    assert read(work_dir / 'block_ratings.json') == read(block_run / 'block_ratings.json')
    assert answer['rating']['value'] >= read(block_run / 'best_arch.json')['rating']['value']


def test_a_budget_that_no_network_meets_is_told_and_the_ratings_are_kept(block_run, tmp_path):
    (config,) = block_run.glob('*.py')
    cfg = load_config(str(config), {'budget.macs_m': [0.2513, 0.2514]})  # the cheapest has 0.25126
    cfg.update(work_dir=str(tmp_path / 'none'), load_from=str(block_run / 'epoch_2.pth'))
    with pytest.raises(ValueError, match='none of the networks lies within the budget, macs_m in'):
        Runner.from_cfg(cfg).test()
    assert (tmp_path / 'none/block_ratings.json').is_file()


@pytest.mark.parametrize('of_blocks', [True, False])
def test_a_rank_correlation_of_sums(block_run, tmp_path, of_blocks):
    """Where the truth is the sums themselves, with the other sign, tau is 1."""
    (config,) = block_run.glob('*.py')
    ratings = block_run / 'block_ratings.json'
    space = read_block_space(ratings)
    tables, _ = read_block_ratings(ratings, space)
    rng, rows = np.random.default_rng(0), ['arch,accuracy']
    for cells in ((0, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 1, 1, 0, 0)):
        for _ in range(4):
            layers = [space.cells[block][cell].layers for block, cell in enumerate(cells)]
            arch = space.answer(cells, [rng.integers(2, size=n).tolist() for n in layers])
            rows.append(f'"{arch}",{100 - sum_of_ratings(space, tables, arch)!r}')
    rows = list(dict.fromkeys(rows))
    (tmp_path / 'table.csv').write_text('\n'.join(rows))
    correlate(
        str(config), str(tmp_path / 'table.csv'), naswot=False, out=str(tmp_path / 'out'),
        ratings=str(ratings if of_blocks else tmp_path / 'table.csv'), resamples=10,
    )  # fmt: skip
    content = read(tmp_path / 'out/rank_correlation.json')
    assert content['score'] == 'given' and len(content['points']) == len(rows) - 1
    for point in content['points']:
        expected = point['accuracy'] - 100 * of_blocks
        assert point['score'] == pytest.approx(expected)
    assert content['subsets']['all']['score']['kendall']['value'] == pytest.approx(1.0)


def test_classes_of_the_images_are_no_classes_of_a_smaller_classifier(block_run):
    """A search that reads no labels may run on folders of more classes than its costs count."""
    (config,) = block_run.glob('*.py')
    cfg = load_config(str(config))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    space = model.backbone.space
    arch = space.answer([0] * 5, [[0] * block[0].layers for block in space.cells])
    for number, kept in ((1000, ['a', 'b']), (1, None)):
        cfg.classes = ('a', 'b')
        model.backbone.set_costs(dict(input_size=32, num_classes=number))
        content = answer_content(model, arch, cfg, seed=0, next_steps={})
        assert (content['num_classes'], content.get('classes')) == (number, kept)

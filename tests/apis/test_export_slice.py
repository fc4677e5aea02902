"""Slices of one network become folders that train, predict and move, with that network once."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from made_slices import write_search
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmpretrain import ImageClassificationInferencer, get_model

import cream_mm
from cream_mm.apis.export_arch import export_arch, export_front
from cream_mm.apis.open_search import open_search
from cream_mm.checkpoints import load_weights
from cream_mm.config.carry import read_config
from cream_mm.config.load import load_config
from cream_mm.files.arch_file import DETECTION, arch_content
from cream_mm.files.slice_of import slice_content
from cream_mm.models.layers.bn_policy import modules_of_path, recalibrated
from cream_mm.models.layers.resize_images import resize_images
from cream_mm.registry import kind_of
from cream_mm.spaces import ElasticSpace

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp('slices')
    write_search(home, ROOT)
    return home


@pytest.fixture(scope='module')
def exported(home, tmp_path_factory):
    """All of a front, in a folder that was moved; and what was said."""
    said = []
    (home / 'out/1m').mkdir(parents=True)  # of an earlier front
    (home / 'out/1m/arch.json').touch()
    files = export_front(str(home / 'search'), None, home / 'out', root=ROOT, say=said.append)
    moved = tmp_path_factory.mktemp('elsewhere') / "it's {{ moved }}"
    shutil.move(home / 'out', moved)
    return {name: moved / name for name in files}, said


def test_the_full_network_lies_once(home, exported):
    folders, said = exported
    out = next(iter(folders.values())).parent
    assert [path.relative_to(out).as_posix() for path in out.rglob('full.pth')] == ['full.pth']
    assert (out / 'full.pth').read_bytes() == (home / 'search/full.pth').read_bytes()
    assert len(folders) >= 2 and said[0].endswith(
        'measured for each network, on 32 training images'
    )
    (other,) = (line for line in said if 'earlier' in line)
    assert other.startswith(f'{home / "out"} holds another export, 1m, beside these networks')
    for folder in folders.values():
        assert {p.name for p in folder.iterdir()} >= {'arch.json', 'weights.pth', 'retrain.py'}


def test_an_export_is_its_path_with_batch_norm_measured(home, exported):
    """The supernet's own path gives the same logits, if it is fitted to all images for training.

    Each as the exported config reads it, not shrunk from the size that the search reads.
    """
    images = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    work_dir = home / 'search'
    files = str(work_dir / 'mine.py'), str(work_dir / 'epoch_1.pth')
    with open_search(*files, str(home / 'again'), None) as loop, torch.no_grad():
        model = loop.model.eval()
        for folder in exported[0].values():
            cfg = Config.fromfile(str(folder / 'retrain.py'))
            settings = dict(loop.runner.cfg.test_cfg.bn_dataset)
            settings['pipeline'] = cfg.val_dataloader.dataset.pipeline
            batch = pseudo_collate(list(DATASETS.build(settings)))
            about = json.loads((folder / 'arch.json').read_text())
            space = ElasticSpace.build(about['slice_of']['space'])
            path = space.parse(about['slice_of']['arch'])
            data = model.data_preprocessor(batch, False)
            assert data['inputs'].shape[-1] == about['input_size'][0]
            with model.backbone.using(path):
                modules = list(modules_of_path(model))
                with recalibrated(modules, lambda d=data: model(**d, mode='tensor')):
                    expected = model(images, mode='tensor')
            own = cream_mm.create_model(
                str(folder / 'arch.json'), checkpoint=str(folder / 'weights.pth')
            )
            found = own(resize_images(images, about['input_size'][0]))
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_each_row_has_its_size_its_costs_and_its_own_slice(home, exported):
    front = json.loads((home / 'search/front.json').read_text())
    sizes = set()
    for folder, step in zip(exported[0].values(), front['steps'], strict=True):
        about = json.loads((folder / 'arch.json').read_text())
        for key in ('arch', 'space', 'input_size', 'slice_of'):
            assert about[key] == step[key]
        assert about['costs'] == pytest.approx(step['costs'])
        sizes.add(about['input_size'][0])
    assert sizes == {48, 32}


def test_a_config_finds_the_full_network_wherever_it_lies(exported):
    for folder in exported[0].values():
        about = json.loads((folder / 'arch.json').read_text())
        for cfg in (
            Config.fromfile(str(folder / 'retrain.py')),
            load_config(str(folder / 'retrain.py')),
        ):
            assert Path(cfg.model.teacher.checkpoint) == folder.parent / 'full.pth'
            assert Path(cfg.load_from) == folder / 'weights.pth'
            assert cfg.model.teacher.backbone.arch == about['slice_of']['space']['full']
            own = about['input_size'][0]
            assert cfg.input_size == own and cfg.model.get('input_size') in (None, own)
            assert cfg.train_dataloader.dataset.pipeline[1].scale == 48
            for side in ('val', 'test'):
                assert cfg[f'{side}_dataloader'].dataset.pipeline[2].crop_size == own
        assert not any(init for part in ('backbone', 'head')
                       if (init := cfg.model[part].get('init_cfg')))  # fmt: skip


@pytest.fixture(scope='module')
def trained(home, exported):
    """The smallest network, trained for an epoch; then its folder and the full network go away."""
    from cream_mm.engine.runner import Runner

    folder = next(iter(exported[0].values()))
    copy = home / 'copy'
    shutil.copytree(folder, copy / 'net')
    shutil.copy(folder.parent / 'full.pth', copy)
    cfg = load_config(
        str(copy / 'net/retrain.py'), dict(max_epochs=1, work_dir=str(home / 'retrained'))
    )
    runner = Runner.from_cfg(cfg)
    losses = []
    runner.model.register_forward_hook(lambda module, args, kwargs, out: losses.append(out),
                                       with_kwargs=True)  # fmt: skip
    runner.train()
    shutil.rmtree(copy)
    return home / 'retrained', losses


def test_the_training_is_taught_and_begins_with_the_slice(trained, exported):
    work_dir, losses = trained
    assert 'loss_kd' in losses[0] and losses[0]['loss_kd'] > 0
    cfg = Config.fromfile(str(work_dir / 'retrain.py'))
    assert cfg.model.teacher.checkpoint.endswith('copy/full.pth')  # as the run had it
    before = load_weights(next(iter(exported[0].values())) / 'weights.pth')
    after = load_weights(next(work_dir.glob('epoch_*.pth')))
    changes = [(after[k] - before[k]).abs().max() for k in before if k.endswith('conv_pw.weight')]
    assert 0 < max(changes) < 0.01  # a few steps away from it, not drawn anew


def test_what_was_trained_is_a_plain_classifier(home, trained):
    """mmpretrain opens it by the config of the run, where the full network is gone."""
    work_dir, _ = trained
    file = str(next(work_dir.glob('epoch_*.pth')))
    model = get_model(str(work_dir / 'retrain.py'), pretrained=file)
    cfg = Config.fromfile(str(work_dir / 'retrain.py'))
    plain = {k: v for k, v in cfg.model.items() if k in ('backbone', 'head', 'data_preprocessor')}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = MODELS.build(dict(plain, type='mmpretrain.ImageClassifier')).eval()
    plain.load_state_dict(load_weights(file), strict=True)
    photo = str(home / 'data/val/bee/000.jpg')
    result = ImageClassificationInferencer(model)(photo)[0]
    assert result['pred_class'] in ('ant', 'bee')
    images = torch.rand(2, 3, cfg.input_size, cfg.input_size)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), plain(images))


def test_one_network_has_the_full_one_beside_it(home, tmp_path):
    files = export_arch(str(home / 'search/best_arch.json'), None, tmp_path / 'one', root=ROOT)
    shutil.move(tmp_path / 'one', tmp_path / 'two')
    cfg = Config.fromfile(str(tmp_path / 'two/retrain.py'))
    assert Path(cfg.model.teacher.checkpoint) == tmp_path / 'two/full.pth'
    assert Path(files['full']).name == 'full.pth' and (tmp_path / 'two/full.pth').is_file()


def test_where_parts_of_the_search_are_gone(home, tmp_path):
    """A line for each, and what is left is exported."""
    work_dir, said = tmp_path / 'search', []
    work_dir.mkdir()
    for name in ('best_arch.json', 'epoch_1.pth'):
        shutil.copy(home / 'search' / name, work_dir)
    answer = str(work_dir / 'best_arch.json')
    files = export_arch(answer, None, tmp_path / 'out', root=ROOT, say=said.append)
    assert [line.split(':')[0] for line in said] == [
        'no distillation in retrain.py',
        'mean and variance of batch norm are those that all networks left together, '
        'not measured for each',
    ]
    assert f'no config in {work_dir}' in said[1] and 'full' not in files
    cfg = Config.fromfile(str(files['retrain']))
    assert cfg.model.teacher is None and Path(cfg.load_from) == files['weights']
    whole = load_weights(work_dir / 'epoch_1.pth')
    name = 'backbone.bn1.running_var'
    assert torch.equal(load_weights(files['weights'])[name], whole[name])
    with pytest.raises(ValueError, match='--space: this network is a slice of another one'):
        export_arch(answer, None, tmp_path / 'other', root=ROOT, space=dict(act='silu'))


def test_a_slice_of_a_detector_is_trained_as_that_detector(tmp_path):
    """retrain.py is the search's detector around the slice: no classifier, and no teacher."""
    cfg = read_config(f'{ROOT}/configs/photos/detector.py')[0]
    supernet = dict(
        type='cream_mm.ElasticSupernet', arch='lite0', expansions=(6, 3), out_indices=(2, 4, 6),
        costs=dict(input_size=[64, 64], head=None),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(cfg.model, backbone=supernet))
    costs, space = model.backbone.budget.cost_model, model.backbone.space
    path = space.decode([1] * len(space.sizes))
    network, its_costs = costs.network(path)
    content = arch_content(
        network, its_costs, task=DETECTION, classes=list('abcdef'), scale=[96, 96],
        next_steps=dict(detector='configs/photos/detector.py'), **slice_content(costs, path),
    )  # fmt: skip
    (tmp_path / 'best_arch.json').write_text(json.dumps(content))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    files = export_arch(str(tmp_path / 'best_arch.json'), None, tmp_path / 'out', root=ROOT)
    assert set(files) == {'arch', 'weights', 'retrain'}
    cfg = load_config(str(files['retrain']), check_data=False)
    assert kind_of(cfg.model) == 'RetinaNet' and 'teacher' not in cfg.model
    assert cfg.load_from == str(files['weights']) and not cfg.model.backbone.get('init_cfg')
    assert cfg.scale == (96, 96) and cfg.model.bbox_head.num_classes == 6
    with DefaultScope.overwrite_default_scope('mmdet'):
        own = MODELS.build(cfg.model)
    own.load_state_dict(load_weights(files['weights']), strict=True)  # neck and head, too
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), model.backbone.using(path):
        expected = model.backbone.export(path).eval()(images)
        found = own.eval().backbone(images)
    assert [x.shape[1] for x in found] == [40, 112, 320]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))

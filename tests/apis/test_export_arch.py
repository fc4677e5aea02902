"""A path becomes a folder, and that a network again, from wherever the folder lies."""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path

import cv2
import made_answer
import numpy as np
import pytest
import torch
from made_answer import write_answer
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import ImageClassificationInferencer, get_model, inference_model
from PIL import Image

import cream_mm
from cream_mm.apis.export_arch import _folder_names, export_arch
from cream_mm.checkpoints import load_weights
from cream_mm.config.load import load_config
from cream_mm.datasets.transforms import LoadImage
from cream_mm.files.config_text import TextConfig
from cream_mm.models import CreamClsHead, CreamSupernet
from cream_mm.models.layers import head_settings
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.spaces import MBConvSpace
from cream_mm.testing import write_image_folder

ROOT = str(Path(__file__).parents[2])


@pytest.mark.parametrize('text', ['00000000', '01201201'])
def test_nas_bench_macro(tmp_path, text):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict(
        dict(backbone=CreamSupernet('nas_bench_macro'), head=CreamClsHead(10, 1280, None))
    ).eval()
    init_cream_weights(model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'supernet.pth')
    net, space = model['backbone'], model['backbone'].space
    content = dict(
        format='cream_mm.arch/1', arch=space.parse(text).to_list(), space=space.to_dict(),
        num_classes=10, head_channels=0, input_size=[32, 32],
    )  # fmt: skip
    (tmp_path / 'best_arch.json').write_text(json.dumps(content))
    files = export_arch(
        str(tmp_path / 'best_arch.json'),
        str(tmp_path / 'supernet.pth'),
        tmp_path / 'out',
        root=ROOT,
    )
    # A detector of the shipped kind takes seven stages.
    assert set(files) == {'arch', 'weights', 'retrain'}
    assert 'hidden_channels=0' in files['retrain'].read_text()
    images = torch.rand(2, 3, 32, 32)
    net.set_arch(space.parse(text))
    expected = model['head'](net(images))
    again = cream_mm.create_model(str(files['arch']), checkpoint=str(files['weights']))
    assert torch.equal(again(images), expected)
    features = cream_mm.create_model(
        str(files['arch']), checkpoint=str(files['weights']), features_only=True
    )
    assert features.out_channels == (64, 128, 256)
    by_name = cream_mm.create_model(text, num_classes=10, space='nas_bench_macro')
    costs = json.loads(files['arch'].read_text())['costs']
    assert sum(p.numel() for p in by_name.parameters()) == costs['params_m'] * 1e6
    assert by_name.state_dict().keys() == again.state_dict().keys()


def test_weights_of_another_network_do_not_stay(tmp_path):
    said, file = [], tmp_path / 'weights.pth'
    torch.save(dict(state_dict={}, meta={}), file)  # none of ours
    export_arch('lite0', None, tmp_path, root=ROOT, say=said.append)
    assert file.is_file() and not said
    torch.save(dict(state_dict={}, meta=dict(arch=[[0, 1]])), file)
    export_arch('lite0', None, tmp_path, root=ROOT, say=said.append)
    assert not file.exists() and said == [
        f'{file} is removed: an earlier export, of another network'
    ]


def lite_weights(tmp_path, num_classes=None):
    """Weights of a trained lite1: random ones do not tell eps 0.001 from 0.00001."""
    model = cream_mm.create_model('lite1', num_classes=num_classes)
    torch.manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith('running_var'):
            buffer.copy_(torch.rand_like(buffer) / 50)
        elif name.endswith('running_mean'):
            buffer.copy_(torch.randn_like(buffer) / 50)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'w.pth')
    return model


def eps_of(model):
    return {m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}


@pytest.fixture(scope='module')
def lite(tmp_path_factory):
    """The export of a published name whose space, head and preprocessing are not Cream's."""
    return export_arch('lite1', None, tmp_path_factory.mktemp('lite'), root=ROOT)


def test_an_exported_lite_is_the_same_network(lite, tmp_path):
    model, images = lite_weights(tmp_path), torch.randn(2, 3, 97, 64)
    again = cream_mm.create_model(str(lite['arch']), checkpoint=str(tmp_path / 'w.pth'))
    assert eps_of(again) == eps_of(model) == {1e-3}
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert again.backbone.space == model.backbone.space
    assert again._config.to_dict() == model._config.to_dict()  # 272 and 240 pixels
    assert torch.equal(again.data_preprocessor.mean, model.data_preprocessor.mean)
    arch = json.loads(lite['arch'].read_text())
    assert arch['crop_pct'] == 0.882 and arch['input_size'] == [240, 240]
    assert round(arch['costs']['macs_m'], 3) == 600.185 and 'official_arch' not in arch


def test_the_configs_of_an_exported_lite(lite, tmp_path):
    model, images = lite_weights(tmp_path), torch.randn(2, 3, 97, 64)
    cfg = load_config(str(lite['retrain']), check_data=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        retrain = get_model(cfg, pretrained=str(tmp_path / 'w.pth')).eval()
    assert eps_of(retrain) == {1e-3}
    with torch.no_grad():
        assert torch.equal(retrain(images), model(images))
    assert cfg.model.data_preprocessor.mean == [127] * 3 and cfg.input_size == 240
    for side in ('val', 'test'):
        _, resize, crop, _ = cfg[f'{side}_dataloader'].dataset.pipeline
        assert (resize.scale, crop.crop_size) == (272, 240)
    detector = load_config(str(lite['detector']), check_data=False)
    assert detector.model.data_preprocessor.mean == [127] * 3
    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmdet.registry import MODELS

        backbone = MODELS.build(detector.model.backbone).eval()
    assert eps_of(backbone) == {1e-3} and backbone.out_channels == (24, 40, 112, 320)
    backbone.load_state_dict(model.backbone.state_dict())
    with torch.no_grad():
        assert torch.equal(backbone(images)[-1], model.backbone(images)[0])
    assert detector.model.neck.in_channels == [24, 40, 112, 320]


def test_an_exported_lite_trains(lite, tmp_path):
    from cream_mm.engine.runner import Runner

    data = write_image_folder(tmp_path / 'data', train=2, val=1)
    cfg = load_config(
        str(lite['retrain']),
        dict(data_root=str(data), batch_size=4, num_workers=0, input_size=64, max_epochs=1,
             work_dir=str(tmp_path / 'run')),
    )  # fmt: skip
    assert cfg.model.head.num_classes == 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1 and eps_of(runner.model) == {1e-3}
    saved = load_weights(tmp_path / 'run/epoch_1.pth')
    assert torch.isfinite(saved['head.conv_head.weight']).all()


def test_installed_weights_go_with_the_export(tmp_path):
    try:
        model = cream_mm.create_model('lite0', pretrained=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    files = export_arch('lite0', 'lite0', tmp_path / 'out', root=ROOT)
    again = cream_mm.create_model(str(files['arch']), checkpoint=str(files['weights']))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    init = Config.fromfile(str(files['detector'])).model.backbone.init_cfg
    assert init.checkpoint == str(files['weights'])
    with pytest.raises(ValueError, match="of 'lite1' is not lite0, whose weights are named"):
        export_arch('lite1', 'lite0', tmp_path / 'other', root=ROOT)
    with pytest.raises(ValueError, match='no package holds weights of cream-14m'):
        export_arch('cream-14m', 'cream-14m', tmp_path / 'other', root=ROOT)
    assert not (tmp_path / 'other').exists()


def test_a_path_of_a_lite_supernet(tmp_path):
    """What a search in such a space leaves: the head is told by the space."""
    space = dict(MBConvSpace.build('lite0').to_dict(), depths=[1] * 6, head_channels=64)
    answer = dict(
        format='cream_mm.arch/1', arch=[[0], [2], [5], [0], [5], [8], [2], [0]], space=space,
        num_classes=3, head_channels=64, input_size=[32, 32],
        norm_cfg=dict(type='BN', eps=0.01, momentum=0.1),
    )  # fmt: skip
    torch.manual_seed(0)
    built = MBConvSpace.build(space)
    head = head_settings(built, 64, answer['norm_cfg'])
    supernet = torch.nn.ModuleDict(
        dict(backbone=CreamSupernet(space, norm_cfg=answer['norm_cfg']),
             head=CreamClsHead(3, **head))
    ).eval()  # fmt: skip
    init_cream_weights(supernet)
    torch.save(dict(state_dict=supernet.state_dict()), tmp_path / 'epoch_1.pth')
    (tmp_path / 'best_arch.json').write_text(json.dumps(answer))
    files = export_arch(str(tmp_path / 'best_arch.json'), None, tmp_path / 'out', root=ROOT)
    again = cream_mm.create_model(str(files['arch']), checkpoint=str(files['weights']))
    assert eps_of(again) == {0.01}  # what the search had, not what its space says
    supernet['backbone'].set_arch(again.backbone.arch)
    images = torch.randn(2, 3, 33, 32)
    with torch.no_grad():
        assert torch.equal(again(images), supernet['head'](supernet['backbone'](images)))
    told = load_config(str(files['retrain']), check_data=False).model.head
    assert (told.act, told.norm_cfg.eps, told.in_channels) == ('relu6', 0.01, 320)


# ---- the whole folder, moved ---------------------------------------------------------------------

CLASSES = ['ant', '{{$HOME:x}}', 'it\'s a "猫"\\n']
FOLDER = "moved 'it\"s' {{$HOME:x}} ü\\n"
ANSWER = dict(
    made_answer.ANSWER, data_root='photos', classes=CLASSES, batch_size=12, num_workers=0,
    folders=dict(train='train', val='held'), data_kind='class_folders',
)  # fmt: skip


@pytest.fixture(scope='module')
def moved(tmp_path_factory):
    """A supernet, and the folder of a path of it after a move."""
    home = tmp_path_factory.mktemp('home')
    supernet = write_answer(home, ANSWER, 'supernet.pth')
    export_arch(str(home / 'best_arch.json'), str(home / 'supernet.pth'), home / 'out', root=ROOT)
    folder = tmp_path_factory.mktemp('elsewhere') / FOLDER
    shutil.move(home / 'out', folder)
    shutil.rmtree(home)
    return supernet, folder


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp('photo') / 'a.jpg'
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((52, 44), Image.BICUBIC).save(path)
    return path


def test_no_path_of_this_machine(moved):
    _, folder = moved
    assert sorted(p.name for p in folder.iterdir()) == [
        'arch.json', 'retinanet.py', 'retrain.py', 'weights.pth',
    ]  # fmt: skip
    for name in ('retrain.py', 'retinanet.py'):
        text = (folder / name).read_text()
        assert not re.search('(?m)^_base_', text) and '/tmp' not in text and ROOT not in text
        assert '{{' not in text


def test_a_classifier_by_mmpretrain(moved, photo, tmp_path, monkeypatch):
    """mmpretrain's own functions give the scores that the search's network and images give."""
    supernet, folder = moved
    monkeypatch.chdir(tmp_path)
    supernet['backbone'].set_arch(cream_mm.structures.Arch.from_list(ANSWER['arch']))
    image = LoadImage().transform(dict(img_path=str(photo)))['img']
    image = Image.fromarray(image).resize((round(52 * 37 / 44), 37), Image.BICUBIC)
    top, left = round((37 - 32) / 2), round((image.width - 32) / 2)
    rgb = np.asarray(image)[top : top + 32, left : left + 32, ::-1].astype(np.float32)
    rgb = (rgb - ANSWER['preprocess']['mean']) / ANSWER['preprocess']['std']
    batch = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        scores = supernet['head'](supernet['backbone'](batch)).softmax(1)[0].numpy()

    model = get_model(str(folder / 'retrain.py'), pretrained=str(folder / 'weights.pth'))
    assert model._dataset_meta['classes'] == tuple(CLASSES)
    by_file = ImageClassificationInferencer(
        str(folder / 'retrain.py'), pretrained=str(folder / 'weights.pth')
    )
    by_name = cream_mm.create_model(
        str(folder / 'arch.json'), checkpoint=str(folder / 'weights.pth')
    )
    for result in (
        ImageClassificationInferencer(model)(str(photo))[0],
        by_file(str(photo))[0],
        inference_model(by_name, str(photo)),
    ):
        np.testing.assert_allclose(result['pred_scores'], scores, atol=1e-5)
        assert result['pred_class'] == CLASSES[scores.argmax()]


def test_what_the_configs_take_over(moved):
    _, folder = moved
    retrain = Config.fromfile(str(folder / 'retrain.py'))
    detector = Config.fromfile(str(folder / 'retinanet.py'))
    for cfg, flag in ((retrain, 'to_rgb'), (detector, 'bgr_to_rgb')):
        assert cfg.model.backbone.norm_cfg == ANSWER['norm_cfg']
        assert cfg.model.backbone.space.act == 'relu'
        assert cfg.model.backbone.arch == ANSWER['arch']
        preprocessor = cfg.model.data_preprocessor
        assert [preprocessor[k] for k in ('mean', 'std', flag)] == [
            *(ANSWER['preprocess'][k] for k in ('mean', 'std')), True,
        ]  # fmt: skip
        for side in ('train', 'val', 'test'):
            loader = cfg[f'{side}_dataloader']
            assert loader.num_workers == 0 and not loader.persistent_workers
    erasing = retrain.train_dataloader.dataset.pipeline[4]
    assert (erasing.fill_color, erasing.fill_std) == ([30.0, 20.0, 10.0], [70.0, 60.0, 50.0])
    assert retrain.train_dataloader.dataset.pipeline[3].hparams.pad_val == [30, 20, 10]
    assert retrain.train_dataloader.batch_size == 12 and detector.batch_size == 2
    folders = [
        retrain[f'{side}_dataloader'].dataset.get('folder', 'train')
        for side in ('train', 'val', 'test')
    ]
    assert folders == ['train', 'held', 'held']
    # How a folder is read goes with the folder; the detector has another one.
    assert retrain.data_kind == 'class_folders' and 'data_kind' not in detector
    for side in ('train', 'val', 'test'):
        dataset = retrain[f'{side}_dataloader'].dataset
        assert dataset.metainfo.classes == tuple(CLASSES) and dataset.data_root == 'photos'
    assert retrain.val_evaluator.topk == (1,)
    for cfg in (retrain, detector):
        kinds = [cfg[f'{side}_dataloader'].dataset.pipeline[0].type for side in ('val', 'test')]
        assert kinds == ['cream_mm.LoadImageFromFile', 'LoadImageFromFile']


def test_a_search_without_a_validation_folder_retrains_without_one(tmp_path):
    """Validation is the held-out part of the same folder, never what is trained on."""
    folders = dict(train='Training', val='Training')
    (tmp_path / 'best_arch.json').write_text(json.dumps(dict(ANSWER, folders=folders)))
    export_arch(str(tmp_path / 'best_arch.json'), None, tmp_path / 'out', root=ROOT)
    cfg = Config.fromfile(str(tmp_path / 'out/retrain.py'))
    for side, part in (('train', 'train'), ('val', 'holdout'), ('test', 'holdout')):
        dataset = cfg[f'{side}_dataloader'].dataset
        assert (dataset.folder, dataset.part, dataset.holdout) == ('Training', part, 'auto')


def test_an_exported_config_can_be_edited(moved, tmp_path):
    _, folder = moved
    text = (folder / 'retrain.py').read_text()
    text = re.sub('(?m)^data_root = .*', "data_root = 'other'", text)
    text = re.sub('(?m)^num_classes = .*', 'num_classes = 7', text)
    (tmp_path / 'mine.py').write_text(text)
    cfg = Config.fromfile(str(tmp_path / 'mine.py'))
    assert [cfg[f'{s}_dataloader'].dataset.data_root for s in ('train', 'val', 'test')] == [
        'other'
    ] * 3
    assert cfg.model.head.num_classes == 7


def test_options_reach_validation_and_test(moved):
    _, folder = moved
    options = {'val_dataloader.batch_size': 3, 'val_dataloader.dataset.folder': 'more'}
    cfg = load_config(str(folder / 'retrain.py'), options, check_data=False)
    test = cfg.test_dataloader
    assert (test.batch_size, test.dataset.folder) == (3, 'more')
    assert test.dataset.pipeline[0].type == 'LoadImageFromFile'
    assert test.dataset.pipeline[1].type == 'mmpretrain.ResizeEdge'


def test_classes_of_other_data(moved, tmp_path):
    """A retraining on other photographs takes their classes, and its own config says so."""
    _, folder = moved
    for side in ('train', 'held'):
        for name in ('{{$HOME:y}}', 'fly'):
            (tmp_path / 'data' / side / name).mkdir(parents=True)
            for file in ('0.jpg', '1.jpg'):
                (tmp_path / 'data' / side / name / file).touch()
    options = dict(data_root=str(tmp_path / 'data'))
    TextConfig.of(load_config(str(folder / 'retrain.py'), options)).dump(str(tmp_path / 'run.py'))
    cfg = Config.fromfile(str(tmp_path / 'run.py'))
    assert cfg.classes == ('fly', '{{$HOME:y}}') and cfg.model.head.num_classes == 2
    assert cfg.test_dataloader.dataset.metainfo.classes == ('fly', '{{$HOME:y}}')


@pytest.fixture(scope='module')
def detector(moved, tmp_path_factory):
    """What a training of the exported detector on two categories leaves in its work_dir."""
    from mmdet.registry import MODELS

    _, folder = moved
    home = tmp_path_factory.mktemp('detector')
    names = ['left {{$HOME:x}}', "it's\nright"]
    for split in ('train2017', 'val2017'):
        (home / 'coco' / split).mkdir(parents=True)
        (home / 'coco/annotations').mkdir(exist_ok=True)
        Image.new('RGB', (96, 64)).save(home / 'coco' / split / '1.png')
        box = dict(id=1, image_id=1, category_id=0, bbox=[4, 4, 30, 30], area=900, iscrowd=0)
        image = dict(id=1, file_name='1.png', width=96, height=64)
        content = dict(images=[image], annotations=[box])
        content['categories'] = [dict(id=i, name=name) for i, name in enumerate(names)]
        path = home / 'coco/annotations' / f'instances_{split}.json'
        path.write_text(json.dumps(content))
    options = {
        'data_root': str(home / 'coco'),
        'test_dataloader.dataset.pipeline.1.scale': (96, 64),
    }
    cfg = TextConfig.of(load_config(str(folder / 'retinanet.py'), options))
    cfg.dump(str(home / 'retinanet.py'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    torch.nn.init.zeros_(model.bbox_head.retina_cls.bias)  # it sees something everywhere
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=tuple(names)), cfg=cfg.pretty_text),
        ),
        home / 'epoch_2.pth',
    )
    return home, model, names


def test_a_detector_starts_from_the_weights_beside_its_config(moved, detector):
    _, folder = moved
    _, model, _ = detector
    weights = load_weights(folder / 'weights.pth')
    own = model.backbone.state_dict()
    assert all(torch.equal(value, weights[f'backbone.{key}']) for key, value in own.items())
    assert model.backbone.bn1.eps == 0.25


def test_a_detector_by_mmdet(detector, photo, tmp_path, monkeypatch):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    home, _, names = detector
    monkeypatch.chdir(tmp_path)
    config, checkpoint = str(home / 'retinanet.py'), str(home / 'epoch_2.pth')
    model = init_detector(config, checkpoint, device='cpu')
    assert model.bbox_head.num_classes == 2 and model.dataset_meta['classes'] == tuple(names)
    expected = inference_detector(model, str(photo)).pred_instances
    assert len(expected) and expected.labels.max() < 2
    pixels = LoadImage().transform(dict(img_path=str(photo)))['img']
    by_pixels = inference_detector(model, pixels).pred_instances
    assert torch.equal(by_pixels.scores, expected.scores)
    for inferencer in (
        DetInferencer(config, checkpoint, device='cpu'),
        DetInferencer(weights=checkpoint, device='cpu'),  # by the config's text in its meta
    ):
        found = inferencer(str(photo), no_save_vis=True)['predictions'][0]
        assert found['labels'] == expected.labels.tolist()
        np.testing.assert_allclose(found['scores'], expected.scores, atol=1e-6)


def test_another_number_of_classes_is_no_random_layer(moved, detector):
    from mmdet.apis import DetInferencer, init_detector

    _, folder = moved
    home, model, _ = detector
    for opened in (init_detector, DetInferencer):
        with pytest.raises(
            ValueError, match=r'retina_cls.weight is \(18, .* and \(720, .*work_dir'
        ):
            opened(str(folder / 'retinanet.py'), str(home / 'epoch_2.pth'), device='cpu')
    other = dict(model.state_dict())
    other['bbox_head.retina_cls.bias'] = torch.zeros(720)
    model.load_state_dict({k: v for k, v in other.items() if v.dim() != 1}, strict=False)
    # A model that is to be trained was initialised, and keeps that.
    from mmengine.runner.checkpoint import load_state_dict

    bias = model.bbox_head.retina_cls.bias.clone()
    load_state_dict(model, other)
    assert torch.equal(model.bbox_head.retina_cls.bias, bias)


def test_a_classifier_of_other_classes(moved, tmp_path):
    _, folder = moved
    weights = load_weights(folder / 'weights.pth')
    weights['head.classifier.bias'] = torch.zeros(5)
    torch.save(dict(state_dict=weights), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'head.classifier.bias is \(5,\) .* and \(3,\)'):
        get_model(str(folder / 'retrain.py'), pretrained=str(tmp_path / 'other.pth'))


# ---- from other files ----------------------------------------------------------------------------


def export(tmp_path, root=ROOT, **changes):
    path = tmp_path / 'best_arch.json'
    path.write_text(json.dumps({**ANSWER, **changes}))
    return export_arch(str(path), None, tmp_path / 'out', root=str(root))


def test_a_file_of_version_0_1(tmp_path):
    old = dict(classes=[], norm_cfg={}, folders={}, batch_size=None, num_workers=None)
    path = tmp_path / 'best_arch.json'
    path.write_text(json.dumps({k: v for k, v in ANSWER.items() if k not in old}))
    files = export_arch(str(path), None, tmp_path / 'out', root=ROOT)
    cfg = Config.fromfile(str(files['retrain']))
    assert cfg.batch_size == 128 and cfg.num_workers == 8
    assert 'metainfo' not in cfg.test_dataloader.dataset and 'classes' not in cfg
    assert 'norm_cfg' not in cfg.model.backbone
    assert 'init_cfg' not in Config.fromfile(str(files['detector'])).model.backbone


@pytest.mark.parametrize(
    'note',
    [b'/gone/work_dirs/search/epoch_3.pth', b'\xff\xfe\x80' * 99, b'', b'a\0b', b'a' * 50_000],
)
def test_the_checkpoint_beside_an_answer(moved, tmp_path, note):
    """Found after a move of the folder, past a damaged note, and past a file that is cut short."""
    supernet, _ = moved
    (tmp_path / 'best_arch.json').write_text(json.dumps(ANSWER))
    (tmp_path / 'last_checkpoint').write_bytes(note)
    for epoch in (1, 2, 3):
        weights = {k: v * epoch for k, v in supernet.state_dict().items()}
        torch.save(dict(state_dict=weights), tmp_path / f'epoch_{epoch}.pth')
    whole = (tmp_path / 'epoch_3.pth').read_bytes()
    (tmp_path / 'epoch_3.pth').write_bytes(whole[: len(whole) // 2])
    files = export_arch(str(tmp_path / 'best_arch.json'), None, tmp_path / 'out', root=ROOT)
    stem = load_weights(files['weights'])['backbone.conv_stem.weight']
    assert torch.equal(stem, 2 * supernet['backbone'].conv_stem.weight)


@pytest.mark.parametrize(('preprocess', 'to_rgb'), [({}, None), (dict(to_rgb=True), True)])
def test_images_that_were_not_normalised(tmp_path, preprocess, to_rgb):
    files = export(tmp_path, preprocess=preprocess)
    for name, flag in (('retrain', 'to_rgb'), ('detector', 'bgr_to_rgb')):
        preprocessor = Config.fromfile(str(files[name])).model.data_preprocessor
        assert preprocessor.mean is None and preprocessor.std is None
        if to_rgb is not None:
            assert preprocessor[flag] is to_rgb
    model = cream_mm.create_model(str(files['arch']))
    assert not model.data_preprocessor._enable_normalize


def test_folders_of_a_front():
    """Costs that agree to five digits, or altogether, have folders of their own."""
    names = _folder_names([5.0, 123.456789, 123.456788, 123.456789, 999.999], 'm')
    assert names == ['5m', '123.456789m', '123.456788m', '123.456789m-2', '1000m']


def test_hostile_names_run_nothing(tmp_path):
    marker = tmp_path / 'marker'
    attack = '{{$CREAM_X:a|"+open("' + str(marker) + '","w").name+""}}'
    names = [attack, "{{$CREAM_X:a'", '{{fileDirname}}']
    root = "{{$CREAM_X:a'\n" + attack
    files = export(tmp_path, classes=names, data_root=root, folders=dict(val="a'{{$HOME:x}}"))
    cfg = Config.fromfile(str(files['retrain']))
    assert cfg.test_dataloader.dataset.metainfo.classes == tuple(names)
    assert cfg.test_dataloader.dataset.data_root == root
    assert cfg.test_dataloader.dataset.folder == "a'{{$HOME:x}}"
    Config.fromfile(str(files['detector']))
    assert not marker.exists()


@pytest.mark.parametrize(
    'step',
    [
        'configs/../evil.py', '../evil.py', 'evil.py', 'tests/conftest.py', 'configs/link.py',
        'configs/folder/evil.py', 'configs/none.py', 'configs', 'configs/.py/', '', 7, None,
        'configs\\..\\evil.py', './configs/../evil.py', 'ABSOLUTE',
    ],
)  # fmt: skip
@pytest.mark.parametrize('key', ['retrain', 'detector'])
def test_only_configs_are_run(tmp_path, step, key):
    marker = tmp_path / 'marker'
    (tmp_path / 'evil.py').write_text(f'open({str(marker)!r}, "w").close()')
    shutil.copytree(Path(ROOT, 'configs'), tmp_path / 'configs')
    (tmp_path / 'configs/link.py').symlink_to(tmp_path / 'evil.py')
    (tmp_path / 'configs/folder').symlink_to(tmp_path, target_is_directory=True)
    step = str(tmp_path / 'evil.py') if step == 'ABSOLUTE' else step
    with pytest.raises(ValueError, match='not a config below .*configs'):
        export(tmp_path, root=tmp_path, next_steps={key: step})
    assert not marker.exists() and not (tmp_path / 'out').exists()


def test_a_search_is_told_before_it_begins(tmp_path):
    path = tmp_path / 'search.py'
    path.write_text("test_cfg = dict(next_steps=dict(retrain='my/own.py'))")
    with pytest.raises(ValueError, match=r'next_steps.retrain.*my/own.py., not a config below'):
        load_config(str(path), check_data=False)


# ---- the same pixels -----------------------------------------------------------------------------


def encoded(kind):
    """An image file of a kind that cameras, scanners and annotation tools write."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    image, buffer = rough.resize((41, 29), Image.BICUBIC), BytesIO()
    name, _, option = kind.partition(' ')
    exif = Image.Exif()
    if option.startswith('turned'):
        exif[0x112] = int(option[-1])
        image.save(buffer, name, exif=exif)
    elif option == '16 bit':
        return cv2.imencode(f'.{name}', np.asarray(image).astype(np.uint16) * 257 - 100)[
            1
        ].tobytes()
    elif option == 'progressive':
        image.save(buffer, name, progressive=True)
    elif option == 'transparent':
        image.quantize(16).save(buffer, name, transparency=3)
    elif option in ('RGBA', 'LA'):
        image.putalpha(Image.fromarray(rng.integers(0, 256, (29, 41), dtype=np.uint8)))
        image.convert(option).save(buffer, name)
    else:
        (image.quantize(16) if option == 'P' else image.convert(option or 'RGB')).save(buffer, name)
    return buffer.getvalue()


@pytest.mark.parametrize(
    'kind',
    [
        'jpeg', 'jpeg L', 'jpeg CMYK', 'jpeg progressive',
        *(f'jpeg turned{i}' for i in range(1, 9)), 'png turned6', 'webp turned8', 'tiff turned3',
        'png', 'png L', 'png 1', 'png P', 'png transparent', 'png RGBA', 'png LA', 'png 16 bit',
        'bmp', 'ppm', 'tiff', 'tiff P', 'gif P', 'webp',
    ],
)  # fmt: skip
def test_pixels_by_either_name(tmp_path, kind):
    """An inferencer reads images by the family's loader, the search by ours."""
    if kind in ('gif P', 'webp turned8') and int(cv2.__version__.split('.')[0]) < 5:
        pytest.skip("the classic family's OpenCV reads no GIF and does not turn WebP")
    path = str(tmp_path / 'image')
    Path(path).write_bytes(encoded(kind))
    ours = LoadImage().transform(dict(img_path=path))
    theirs = LoadImageFromFile().transform(dict(img_path=path))
    assert ours['img'].dtype == theirs['img'].dtype == np.uint8
    assert np.array_equal(ours['img'], theirs['img'])
    assert ours['ori_shape'] == theirs['ori_shape']

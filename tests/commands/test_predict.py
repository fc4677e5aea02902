"""What is printed and drawn is what mmpretrain's and mmdet's own inference says."""

import json
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from cream_mm.apis import create_model
from cream_mm.apis.export_arch import export_arch
from cream_mm.apis.predict import Box, Label, find_pictures, lines_of, open_model, predict
from cream_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
main = runpy.run_path(str(ROOT / 'tools/predict.py'))['main']
CLASSES = ('ant', 'bee', 'cat')


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """a.jpg, deep/er/b.png, deep/a.jpg and two files that are no images."""
    root = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for name in ('a.jpg', 'deep/er/b.png', 'deep/a.jpg'):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((104, 88), Image.BICUBIC).save(path)
    (root / 'deep/notes.txt').write_text('no image')
    return root


@pytest.fixture(scope='module')
def damaged(tmp_path_factory, photos):
    path = tmp_path_factory.mktemp('damaged') / 'cut.jpg'
    path.write_bytes((photos / 'a.jpg').read_bytes()[:300])
    return path


def write_run(folder, base, classes, **changes):
    """A work directory: a config and the checkpoint of a model with weights of no training."""
    folder.mkdir(parents=True)
    cfg = Config.fromfile(str(ROOT / 'configs' / base))
    cfg.merge_from_dict(changes)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
    for name, buffer in model.named_buffers():  # as after some training
        if name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    if hasattr(model, 'head'):
        model.head.classifier.weight.data.normal_()
    if hasattr(model, 'bbox_head'):
        model.bbox_head.retina_cls.bias.data.zero_()  # scores that tell boxes apart
        model.bbox_head.retina_cls.weight.data.normal_(0, 10)
    cfg.dump(str(folder / 'config.py'))
    content = dict(
        state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=classes, palette=None))
    )
    torch.save(content, folder / 'epoch_1.pth')
    return folder


@pytest.fixture(scope='module')
def retrained(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp('runs') / 'retrained',
        'cream/retrain_imagenet.py',
        CLASSES,
        **{'model.backbone.arch': 'cream-14m', 'model.head.num_classes': 3, 'num_classes': 3},
    )


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp('runs') / 'detector',
        'retinanet_cream.py',
        CLASSES,
        **{
            'model.backbone.arch': 'cream-14m',
            'model.neck.out_channels': 16,
            'model.bbox_head.in_channels': 16,
            'model.bbox_head.feat_channels': 16,
            'model.bbox_head.stacked_convs': 1,
            'model.bbox_head.num_classes': 3,
            'test_dataloader.dataset.pipeline.1.scale': (128, 128),
            'model.test_cfg.max_per_img': 20,
        },
    )


# ---- classifiers -------------------------------------------------------------------------------


def test_a_classifier_is_that_of_mmpretrain(retrained, photos):
    from mmpretrain import ImageClassificationInferencer, get_model

    paths = find_pictures([photos])
    found = list(predict(open_model(str(retrained)), paths, top=2))
    model = get_model(str(retrained / 'config.py'), str(retrained / 'epoch_1.pth'))
    theirs = ImageClassificationInferencer(model)([str(path) for path in paths])
    assert len(found) == len(theirs) == 3
    for ours, wanted in zip(found, theirs):
        order = np.argsort(-wanted['pred_scores'])[:2]
        assert [label.name for label in ours.found] == [CLASSES[i] for i in order]
        scores = [label.score for label in ours.found]
        np.testing.assert_allclose(scores, wanted['pred_scores'][order], rtol=1e-5)
    assert len({p.found[0].score for p in found}) == 3


def test_images_are_prepared_as_the_config_says(retrained, photos):
    """By Pillow and by hand: 256 on the shorter side, the middle 224, ImageNet's mean."""
    model = open_model(str(retrained))
    (found,) = predict(model, [photos / 'deep/er/b.png'], top=3)
    side = (256, round(256 * 88 / 104)) if 104 < 88 else (int(256 * 104 / 88 + 0.5), 256)
    image = Image.open(photos / 'deep/er/b.png').resize(side, Image.BICUBIC)
    left = round((side[0] - 224) / 2)
    x = torch.tensor(np.asarray(image, np.float32)[16:240, left : left + 224])
    x = (x - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor([58.395, 57.12, 57.375])
    scores = model(x.permute(2, 0, 1)[None]).softmax(1)[0]
    wanted = sorted(zip(scores.tolist(), CLASSES), reverse=True)
    assert [label.name for label in found.found] == [name for _, name in wanted]
    np.testing.assert_allclose(
        [label.score for label in found.found], [score for score, _ in wanted], rtol=2e-2
    )


def test_top_five_on_the_screen(retrained, photos, damaged, capsys):
    args = [str(retrained / 'config.py'), str(photos), str(damaged), '--device', 'cpu']
    main([*args, '--checkpoint', str(retrained / 'epoch_1.pth')])
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if ' - mmengine - ' not in line]
    assert [line for line in lines if not line.startswith('  ')] == [
        str(photos / 'a.jpg'),
        str(photos / 'deep/a.jpg'),
        str(photos / 'deep/er/b.png'),
        f'{damaged}: passed over, it cannot be read: image file is truncated',
    ] or lines[-1].startswith(f'{damaged}: passed over, it cannot be read: ')
    assert len(lines) == 3 * 4 + 1  # three classes, no five
    for i in (0, 4, 8):
        percents = [float(line.split()[0]) for line in lines[i + 1 : i + 4]]
        assert percents == sorted(percents, reverse=True)
        assert sum(percents) == pytest.approx(100, abs=0.2)
        assert {line.split('  ')[-1] for line in lines[i + 1 : i + 4]} == set(CLASSES)


def test_an_export(tmp_path, photos):
    out = tmp_path / 'out'
    files = export_arch('cream-14m', None, str(out), root=str(ROOT))
    content = json.loads(files['arch'].read_text())
    files['arch'].write_text(json.dumps(dict(content, num_classes=3, classes=CLASSES)))
    with pytest.raises(ValueError, match=r'there are no weights beside it \(weights.pth\)'):
        open_model(str(out))
    model = create_model('cream-14m', num_classes=3)
    torch.save(dict(state_dict=model.state_dict()), out / 'weights.pth')
    paths = find_pictures([photos / 'a.jpg'])
    folder, file, both = (
        list(predict(open_model(config, checkpoint), paths))[0].found
        for config, checkpoint in [
            (str(out), None),
            (str(out / 'arch.json'), None),
            (str(out), str(out / 'weights.pth')),
        ]
    )
    assert folder == file == both and {label.name for label in folder} == set(CLASSES)


def test_a_published_network_knows_the_classes_of_imagenet(photos):
    from mmpretrain import inference_model

    path = photos / 'a.jpg'
    (found,) = predict(open_model('lite0', device='cpu'), [path])
    wanted = inference_model(create_model('lite0', pretrained=True), str(path))
    assert len(found.found) == 5
    assert found.found[0].score == pytest.approx(wanted['pred_score'], rel=1e-5)
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

    assert found.found[0].name == IMAGENET_CATEGORIES[wanted['pred_label']]
    assert IMAGENET_CATEGORIES[0].startswith('tench') and IMAGENET_CATEGORIES[-1].startswith('toil')


# ---- detectors ---------------------------------------------------------------------------------


def test_a_detector_is_that_of_mmdet(detector, photos, tmp_path):
    from mmdet.apis import inference_detector, init_detector

    out = tmp_path / 'new/drawn'
    paths = find_pictures([photos])
    model = open_model(str(detector))
    (first,) = predict(model, paths[:1], threshold=0, out=out)
    assert len(first.found) == 20  # max_per_img
    threshold = (first.found[9].score + first.found[10].score) / 2
    found = list(predict(model, paths, threshold=threshold, out=out))
    assert found[0].found == first.found[:10]
    cfg = Config.fromfile(str(detector / 'config.py'))
    cfg.test_dataloader.dataset = dict(type='mmdet.CocoDataset', pipeline=cfg.test_dataloader
                                       .dataset.pipeline, lazy_init=True)  # fmt: skip
    theirs = init_detector(cfg, str(detector / 'epoch_1.pth'), device='cpu', palette='random')
    assert [p.drawn.name for p in found] == ['a.jpg', 'deep_a.jpg', 'b.png']
    for prediction in found:
        wanted = inference_detector(theirs, str(prediction.path)).pred_instances
        wanted = wanted[wanted.scores >= threshold]
        assert [box.name for box in prediction.found] == [CLASSES[i] for i in wanted.labels]
        for box, score, corners in zip(prediction.found, wanted.scores, wanted.bboxes):
            assert box.score == pytest.approx(float(score), rel=1e-4)
            np.testing.assert_allclose(box.corners, corners.numpy(), atol=0.02)
        with Image.open(prediction.drawn) as drawn, Image.open(prediction.path) as image:
            assert drawn.size == image.size
            change = np.abs(np.asarray(drawn, float) - np.asarray(image, float)).max()
            assert (change > 60) == (len(wanted) > 0)


def test_boxes_on_the_screen(detector, photos, tmp_path, capsys):
    main([str(detector), str(photos / 'a.jpg'), '--out', str(tmp_path), '--threshold', '1'])
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines[0] == f'{photos / "a.jpg"} -> {tmp_path / "a.jpg"}'
    (first,) = predict(open_model(str(detector)), [photos / 'a.jpg'], threshold=0, out=tmp_path)
    best = first.found[0]
    assert lines[1] == (
        f'   nothing above the threshold; the surest is {best.name}, {100 * best.score:.1f} %'
    )


def test_lines_of_a_box():
    from cream_mm.apis.predict import Prediction

    boxes = [Box('ant', 0.987, (1.4, 20.6, 300.0, 4.0))]
    lines = lines_of(Prediction(Path('a.jpg'), boxes, Path('out/a.jpg')))
    assert lines[0] == 'a.jpg -> out/a.jpg'
    assert lines[1].split() == ['98.7', '%', 'ant', '1', '21', '300', '4']
    assert lines_of(Prediction(Path('a'), [Label('bee', 0.5)])) == ['a', '   50.0 %  bee']


# ---- what is refused ---------------------------------------------------------------------------


def test_pictures_are_found_at_any_depth(photos, damaged):
    names = ['a.jpg', 'deep/a.jpg', 'deep/er/b.png']
    assert find_pictures([photos]) == [photos / name for name in names]
    assert find_pictures([damaged, photos / 'a.jpg', photos])[:2] == [damaged, photos / 'a.jpg']
    assert len(find_pictures([photos, photos])) == 3
    with pytest.raises(FileNotFoundError, match='no image or folder .*gone'):
        find_pictures([photos / 'gone'])


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match='no image in '):
        find_pictures([tmp_path])


def test_no_file_is_an_image(retrained, damaged):
    with pytest.raises(ValueError, match='none of the 1 files could be read'):
        main([str(retrained), str(damaged)])


@pytest.mark.parametrize(
    ('config', 'options', 'error', 'said'),
    [
        ('gone', {}, FileNotFoundError, 'no config gone, no work directory and no published'),
        ('cream-14m', {}, ValueError, 'no package holds weights of cream-14m'),
        ('[[0],[0],[0],[0],[0],[0],[0]]', {}, ValueError, 'without weights: give --checkpoint'),
        ('|none~0|+|none~0|none~1|+|none~0|none~1|none~2|', {}, ValueError, 'give --checkpoint'),
        ('configs/retinanet_cream.py', {}, ValueError, 'without weights: give --checkpoint FILE'),
        ('lite0', dict(options=dict(a=1)), ValueError, '--cfg-options are for a config'),
    ],
)
def test_no_weights_no_prediction(monkeypatch, config, options, error, said):
    monkeypatch.chdir(ROOT)
    with pytest.raises(error, match=said):
        open_model(config, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is one')
def test_no_gpu():
    with pytest.raises(ValueError, match='--device cuda:0: there is no GPU here'):
        open_model('lite0', device='cuda:0')


def test_weights_of_another_model(retrained, detector):
    with pytest.raises(ValueError, match=r'epoch_1.pth is not a checkpoint of .*config.py: '):
        open_model(str(retrained / 'config.py'), str(detector / 'epoch_1.pth'))


def test_a_search_is_exported_first(tmp_path):
    folder = write_run(
        tmp_path / 'search',
        'spos/search_imagenet.py',
        CLASSES,
        **{'model.backbone.space': dict(depths=[1] * 5), 'model.backbone.budget': None},
    )
    with pytest.raises(ValueError, match='is a search: .* Export its answer, tools/export_arch.py'):
        open_model(str(folder))


def test_class_names_are_of_no_other_number(retrained, photos):
    content = torch.load(retrained / 'epoch_1.pth')
    content['meta'] = dict(dataset_meta=dict(classes=('one', 'two')))
    torch.save(content, retrained / 'other.pth')
    model = open_model(str(retrained / 'config.py'), str(retrained / 'other.pth'))
    assert model.dataset_meta['classes'] == ('class 0', 'class 1', 'class 2')
    os.remove(retrained / 'other.pth')


def test_of_several_labels_those_above_the_threshold_are_said(photos, tmp_path):
    content = dict(
        format='cream_mm.arch/1', arch=[[0], [0], [1], [2], [3], [4], [0]],
        space=dict(depths=[1] * 5, width_mult=0.5, stem_stride=1), num_classes=3,
        head_channels=64, input_size=[32, 32], multi_label=True, classes=list(CLASSES),
    )  # fmt: skip
    (tmp_path / 'arch.json').write_text(json.dumps(content))
    model = create_model(str(tmp_path / 'arch.json'))
    torch.nn.init.zeros_(model.head.classifier.weight)
    model.head.classifier.bias.data = torch.tensor([0.1, -1.0, 2.0])  # 0.525, 0.269, 0.881
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    model = open_model(str(tmp_path))
    (prediction,) = predict(model, [photos / 'a.jpg'], top=1)
    assert lines_of(prediction)[1:] == ['   88.1 %  cat', '   52.5 %  ant']
    model.head.classifier.bias.data -= 3
    (prediction,) = predict(model, [photos / 'a.jpg'])
    assert lines_of(prediction)[1:] == ['   nothing above the threshold; the surest is cat, 26.9 %']

"""mmdet's and mmpretrain's own command lines and inferencers on configs of cream_mm.

docs/other_tools.md is the table of what is tried here.
"""

import json
import re

import numpy as np
import pytest
from made_data import CLASSES, ROOT, run_tool, their, write_coco
from mmengine.config import Config
from PIL import Image

from cream_mm.environment import mm_family
from cream_mm.testing import write_image_folder

SMALL = ['num_workers=0', 'max_epochs=1', 'default_hooks.checkpoint.max_keep_ckpts=1']


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    return tmp_path_factory.mktemp('family')


@pytest.fixture(scope='module')
def detector(home):
    """Config and checkpoint of a tiny RetinaNet that tools/train.py has trained."""
    write_coco(home / 'coco')
    sizes = ['train_dataloader.dataset.pipeline.2.scale=(64,64)']
    sizes += [f'{side}_dataloader.dataset.pipeline.1.scale=(64,64)' for side in ('val', 'test')]
    run_tool(
        ROOT / 'tools/train.py', ROOT / 'configs/retinanet_cream.py', '--work-dir', home / 'det',
        '--cfg-options', *SMALL, *sizes, f'data_root={home}/coco/', 'batch_size=2',
        'model.backbone.arch=cream-14m', 'model.bbox_head.stacked_convs=1',
        'model.test_cfg.score_thr=0.0', 'model.test_cfg.max_per_img=5',
    )  # fmt: skip
    return str(home / 'det/retinanet_cream.py'), str(home / 'det/epoch_1.pth')


@pytest.fixture(scope='module')
def classifier(home):
    """Config and checkpoint of a tiny retraining."""
    data = write_image_folder(home / 'photos', classes=('ant', 'bee', 'cat'), train=4, val=2)
    run_tool(
        ROOT / 'tools/train.py', ROOT / 'configs/cream/retrain_imagenet.py', '--work-dir',
        home / 'cls', '--cfg-options', *SMALL, f'data_root={data}', 'batch_size=4', 'input_size=32',
        'model.backbone.arch=cream-14m', 'custom_hooks.0.raw_metrics=False',
    )  # fmt: skip
    return str(home / 'cls/retrain_imagenet.py'), str(home / 'cls/epoch_1.pth')


def metrics(folder):
    """What a test wrote into its work directory."""
    (path,) = sorted(folder.glob('*/*.json'))
    return {k: v for k, v in json.loads(path.read_text()).items() if 'time' not in k}


# --- mmdet


def test_mmdet_test(detector, tmp_path):
    """The numbers are those of tools/test.py; results.pkl can be read by the tools for it."""
    tools = their('mmdet', 'tools')
    run_tool(ROOT / 'tools/test.py', *detector, '--work-dir', tmp_path / 'ours')
    results = tmp_path / 'results.pkl'
    run_tool(tools / 'test.py', *detector, '--work-dir', tmp_path / 'theirs', '--out', results,
             '--show-dir', 'drawn')  # fmt: skip
    assert metrics(tmp_path / 'theirs') == metrics(tmp_path / 'ours')
    assert len(list((tmp_path / 'theirs').glob('*/drawn/*.jpg'))) == 2
    analysis = tools / 'analysis_tools'
    run_tool(analysis / 'eval_metric.py', detector[0], results)
    run_tool(analysis / 'confusion_matrix.py', detector[0], results, tmp_path / 'matrix')
    assert (tmp_path / 'matrix/confusion_matrix.png').is_file()
    # by the class of the loading step, not by its name
    run_tool(
        analysis / 'analyze_results.py', detector[0], results, tmp_path / 'best', '--topk', 1,
        '--cfg-options', 'train_dataloader.dataset.pipeline.0.type=LoadImageFromFile',
    )  # fmt: skip
    assert list((tmp_path / 'best').rglob('*.jpg'))


def test_mmdet_tta(detector, tmp_path):
    run_tool(ROOT / 'tools/test.py', *detector, '--work-dir', tmp_path / 'ours', '--tta')
    run_tool(their('mmdet', 'tools/test.py'), *detector, '--work-dir', tmp_path / 'theirs', '--tta')
    assert metrics(tmp_path / 'theirs') == metrics(tmp_path / 'ours')


def test_mmdet_train(detector, tmp_path):
    run_tool(their('mmdet', 'tools/train.py'), detector[0], '--work-dir', tmp_path)
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_mmdet_browse_print_and_publish(detector, tmp_path, capfd):
    tools = their('mmdet', 'tools')
    run_tool(tools / 'analysis_tools/browse_dataset.py', detector[0], '--output-dir',
             tmp_path / 'seen', '--not-show')  # fmt: skip
    assert len(list((tmp_path / 'seen').rglob('*.jpg'))) == 4
    for config in (detector[0], *sorted((ROOT / 'configs/detection').glob('*.py'))):
        capfd.readouterr()
        run_tool(tools / 'misc/print_config.py', config)
        assert re.search(
            r"type='cream_mm\.(CreamNet|NASBench201Net|NAONet)'", capfd.readouterr().out
        )
    run_tool(tools / 'model_converters/publish_model.py', detector[1], tmp_path / 'small.pth')
    assert list(tmp_path.glob('small*.pth'))
    pytest.importorskip('seaborn')  # analyze_logs wants it; not every family brings it
    (log,) = (tmp_path / detector[0]).parent.glob('*/vis_data/scalars.json')
    run_tool(tools / 'analysis_tools/analyze_logs.py', 'cal_train_time', log)
    # its default style is none of today's matplotlib
    run_tool(tools / 'analysis_tools/analyze_logs.py', 'plot_curve', log, '--keys', 'loss_cls',
             '--style', 'classic', '--out', tmp_path / 'curve.pdf')  # fmt: skip
    assert (tmp_path / 'curve.pdf').is_file()


@pytest.mark.slow
def test_mmdet_get_flops(detector, capfd):
    run_tool(their('mmdet', 'tools/analysis_tools/get_flops.py'), detector[0])
    text = capfd.readouterr().out
    assert 'Flops: ' in text and 'Params: ' in text


def with_plain_loading(config, folder):
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile')
    cfg.dump(str(folder / 'plain.py'))
    return str(folder / 'plain.py')


def test_det_inferencer_and_init_detector(detector, home, tmp_path):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    photo = str(home / 'coco/val2017/0.jpg')
    array = np.asarray(Image.open(photo))[..., ::-1].copy()
    model = init_detector(*detector, device='cpu')
    assert model.dataset_meta['classes'] == CLASSES
    # The files first: for arrays it changes the pipeline in the model's own config.
    several = inference_detector(model, [photo, photo])
    expected = inference_detector(model, array).pred_instances
    assert len(expected) == 5
    inferencers = [DetInferencer(with_plain_loading(detector[0], tmp_path), detector[1], 'cpu')]
    if mm_family() == 'onedl':  # the classic one wants the name without a scope, as exports have it
        inferencers += [
            DetInferencer(*detector, device='cpu'),
            DetInferencer(weights=detector[1], device='cpu'),
        ]
    for inferencer in inferencers:
        for given in (photo, array):
            found = inferencer(given, out_dir=str(tmp_path), no_save_vis=False)['predictions'][0]
            assert found['labels'] == expected.labels.tolist()
            np.testing.assert_allclose(found['scores'], expected.scores, atol=1e-6)
    assert [one.pred_instances.labels.tolist() for one in several] == [found['labels']] * 2
    assert (tmp_path / 'vis/0.jpg').is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'retinanet_cream.py', 'detection/rtmdet_cream-287m_8xb32-300e_coco.py',
        'detection/fcos_cream-287m_fpn_1x_coco.py',
        'detection/faster-rcnn_cream-287m_fpn_1x_coco.py', 'spos/search_retinanet_coco.py',
    ],
)  # fmt: skip
def test_shipped_detectors_open_without_weights(name, detector):
    from mmdet.apis import inference_detector, init_detector
    from mmengine.config import Config

    cfg = Config.fromfile(str(ROOT / 'configs' / name))
    dataset = cfg.test_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    for step in dataset.pipeline:
        for key in {'scale', 'size'} & step.keys():
            step[key] = (64, 64)
    model = init_detector(cfg, device='cpu')
    array = np.zeros((48, 64, 3), np.uint8)
    if 'search' in name:
        return  # inference_detector knows no wrapped data set
    assert inference_detector(model, array).pred_instances.bboxes.shape[1] == 4


# --- mmpretrain


def test_mmpretrain_test(classifier, tmp_path):
    tools = their('mmpretrain', 'tools')
    found = {}
    for tool in (ROOT / 'tools/test.py', tools / 'test.py'):
        for more in ([], ['--tta']):
            folder = tmp_path / f'{len(found)}'
            run_tool(tool, *classifier, '--work-dir', folder, *more)
            found[tool, bool(more)] = metrics(folder)
    assert len(found) == 4
    assert found[ROOT / 'tools/test.py', False] == found[tools / 'test.py', False]
    assert found[ROOT / 'tools/test.py', True] == found[tools / 'test.py', True]
    results = tmp_path / 'results.pkl'
    run_tool(tools / 'test.py', *classifier, '--work-dir', tmp_path / 'out', '--out', results)
    analysis = tools / 'analysis_tools'
    run_tool(analysis / 'eval_metric.py', results, '--metric', 'type=Accuracy', 'topk=1')
    run_tool(analysis / 'confusion_matrix.py', *classifier, '--show-path', tmp_path / 'matrix.png')
    run_tool(analysis / 'confusion_matrix.py', classifier[0], results)
    run_tool(analysis / 'analyze_results.py', classifier[0], results, '--out-dir', tmp_path / 'all')
    assert (tmp_path / 'matrix.png').is_file() and list((tmp_path / 'all').rglob('*.png'))


def test_mmpretrain_train(classifier, tmp_path):
    run_tool(their('mmpretrain', 'tools/train.py'), classifier[0], '--work-dir', tmp_path)
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_mmpretrain_shows(classifier, tmp_path, capfd):
    tools = their('mmpretrain', 'tools')
    run_tool(tools / 'visualization/vis_scheduler.py', classifier[0], '--not-show', '--save-path',
             tmp_path / 'rate.png', '-d', 12)  # fmt: skip
    assert (tmp_path / 'rate.png').is_file()
    capfd.readouterr()
    run_tool(tools / 'misc/print_config.py', classifier[0])
    assert "type='cream_mm.CreamNet'" in capfd.readouterr().out
    run_tool(tools / 'analysis_tools/get_flops.py', ROOT / 'configs/cream/retrain_imagenet.py')
    text = capfd.readouterr().out
    assert 'Params: 6.044M' in text and 'Flops: 0.28' in text
    run_tool(tools / 'model_converters/publish_model.py', classifier[1], tmp_path / 'small.pth')
    assert list(tmp_path.glob('small*.pth'))


def test_mmpretrain_inferencer(classifier, home):
    from mmpretrain import ImageClassificationInferencer, get_model

    photo = str(home / 'photos/val/ant/000.jpg')
    array = np.asarray(Image.open(photo))[..., ::-1].copy()
    inferencer = ImageClassificationInferencer(classifier[0], pretrained=classifier[1])
    found = [inferencer(given)[0] for given in (photo, array)]
    found.append(ImageClassificationInferencer(get_model(*classifier))(photo)[0])
    for one in found:
        assert one['pred_class'] in ('ant', 'bee', 'cat')
        np.testing.assert_allclose(one['pred_scores'], found[0]['pred_scores'], atol=1e-6)
    shipped = get_model(str(ROOT / 'configs/cream/retrain_imagenet.py'))
    assert shipped.head.num_classes == 1000


@pytest.mark.slow
def test_a_search_by_mmpretrain(home, classifier, tmp_path):
    """mmpretrain's tools/train.py searches, and its tools/test.py answers again."""
    options = [*SMALL, f'data_root={home}/photos', 'batch_size=4', 'input_size=32',
               'budget.macs_m=[2.5,3.2]', 'model.backbone.space.depths=[1,1,1,1,1]',
               'test_cfg.num_random=2', 'test_dataloader.num_workers=0']  # fmt: skip
    run_tool(ROOT / 'tools/train.py', ROOT / 'configs/spos/search_imagenet.py', '--work-dir',
             tmp_path / 'ours', '--cfg-options', *options)  # fmt: skip
    config = tmp_path / 'ours/search_imagenet.py'
    run_tool(their('mmpretrain', 'tools/train.py'), config, '--work-dir', tmp_path / 'theirs')
    answers = [
        json.loads((tmp_path / n / 'best_arch.json').read_text()) for n in ('ours', 'theirs')
    ]
    assert answers[0]['arch'] == answers[1]['arch']
    run_tool(their('mmpretrain', 'tools/test.py'), config, tmp_path / 'theirs/epoch_1.pth',
             '--work-dir', tmp_path / 'again')  # fmt: skip
    assert (tmp_path / 'again/best_arch.json').is_file()

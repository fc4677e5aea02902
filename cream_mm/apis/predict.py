"""What a classifier or a detector says of images, prepared as its config prepares them."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from ..checkpoints.installed_weights import weights_file
from ..checkpoints.load_weights import find_mismatch, fitting, local_file, weights_of
from ..checkpoints.load_weights import without_wrappers as unwrapped
from ..checkpoints.safe_load import load_checkpoint_file
from ..command_line import check_writable
from ..config import load_config
from ..config.work_dir import config_and_checkpoint
from ..datasets.folder_listing import PassedOver, list_images
from ..datasets.pillow_image import MAX_IMAGE_BYTES, UNREADABLE
from ..datasets.transforms.load_image import decode_image
from ..files import read_bytes
from ..models.backbones.published import published_nets
from ..models.backbones.resolve_arch import names_network
from ..registry import kind_of
from .create_model import create_model

ARCH, WEIGHTS = 'arch.json', 'weights.pth'  # of an export
# Entries of a checkpoint whose weights are an average: mmengine's hook puts it into state_dict and
# what was trained beside it; timm's files have it under a name of its own.
AVERAGED = frozenset(('ema_state_dict', 'state_dict_ema'))


class Label(NamedTuple):
    """A class of an image, and how sure the model is of it."""

    name: str
    score: float  # 0 to 1


class Box(NamedTuple):
    """An object in an image."""

    name: str
    score: float  # 0 to 1
    corners: tuple[float, float, float, float]  # left, top, right, bottom, in pixels


class Prediction(NamedTuple):
    """What a model says of an image, the surest first, or why it says nothing."""

    path: Path
    found: list[Label] | list[Box]
    drawn: Path | None = None
    unreadable: str | None = None
    below: Label | Box | None = None  # the surest of those that were not sure enough


def find_pictures(places: Sequence[str | os.PathLike]) -> list[Path]:
    """The files that are named, and the images in the folders that are, at any depth.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If no image is among them.
    """
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if place.is_dir():
            passed = PassedOver()
            found.update(dict.fromkeys(place / name for name in list_images(place, passed=passed)))
            passed.say(place)
        elif place.exists():
            found[place] = None
        else:
            raise FileNotFoundError(f'no image or folder {place}')
    if not found:
        raise ValueError(f'no image in {", ".join(map(str, places))}')
    return list(found)


# ---- a model -----------------------------------------------------------------------------------


def open_model(
    config: str,
    checkpoint: str | None = None,
    device: str | None = None,
    options: dict | None = None,
) -> BaseModel:
    """A classifier or a detector with its weights, in evaluation mode.

    Its ``cfg`` has the test pipeline, its ``dataset_meta`` the names of the classes: those of the
    checkpoint, else of the config, else of ImageNet where there are 1000. Its ``weights_from`` is
    the file of its weights, ``weights_averaged`` whether they are the average of a training (EMA).

    Args:
        config (str): A config file; the work directory of a run; the folder of an export, or its
            ``arch.json``; or the name of a published network.
        checkpoint (str, optional): Weights. Defaults to those of the work directory or of the
            export; of a published network, to those of its installed package.
        device (str, optional): Defaults to a GPU if there is one.
        options (dict, optional): Overrides of a config, dotted keys.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there are no weights, they are of another model, or the model is no
            classifier and no detector.
    """
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if str(device).startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {device}: there is no GPU here')
    config = str(config)
    if os.path.isfile(os.path.join(config, ARCH)):
        config = os.path.join(config, ARCH)
    if names_network(config):
        if options:
            raise ValueError('--cfg-options are for a config; this is a network by name or file')
        model = _published(config, checkpoint)
    else:
        model = _configured(config, checkpoint, options)
    return model.to(device).eval()


def _published(arch: str, checkpoint: str | None) -> BaseModel:
    if checkpoint is None and arch.endswith('.json'):
        beside = Path(arch).with_name(WEIGHTS)
        if not beside.is_file():
            raise ValueError(
                f'{arch} is an architecture, and there are no weights beside it ({WEIGHTS}): give '
                '--checkpoint, that of its retraining'
            )
        checkpoint = str(beside)
    if checkpoint is None and arch not in published_nets and not arch.endswith('.json'):
        raise ValueError(f'{arch} is an architecture without weights: give --checkpoint')
    init_default_scope('mmpretrain')
    if checkpoint is None:
        model = create_model(arch, pretrained=True)
    else:
        model = create_model(arch, checkpoint=checkpoint)
    model.cfg = model._config
    name = checkpoint or arch
    if name in published_nets:
        model.weights_from, model.weights_averaged = (
            weights_file(published_nets[name].package),
            False,
        )
    else:
        model.weights_from = local_file(name)
        content = load_checkpoint_file(model.weights_from)
        model.weights_averaged = not AVERAGED.isdisjoint(content)
    model.dataset_meta = _names(model, getattr(model, '_dataset_meta', {}))
    return model


def _configured(config: str, checkpoint: str | None, options: dict | None) -> BaseModel:
    if not os.path.exists(config):
        raise FileNotFoundError(
            f'no config {config}, no work directory and no published network of that name; those '
            f'are {", ".join(published_nets)}'
        )
    if not os.path.isdir(config) and checkpoint is None:
        raise ValueError(
            f'{config} without weights: give --checkpoint FILE, or a work directory in its place'
        )
    config, checkpoint = config_and_checkpoint(config, checkpoint)
    cfg = load_config(config, options, check_data=False)
    content = load_checkpoint_file(local_file(checkpoint))
    weights = weights_of(content, checkpoint)
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    if cfg.get('data_preprocessor'):  # where mmpretrain's own configs have it
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if getattr(getattr(model, 'backbone', None), 'shares_weights', False):
        way = 'tools/export_arch.py, and predict with that'
        if {'bbox_head', 'roi_head'} & set(cfg.model):  # what is exported is a backbone alone
            way = (
                'tools/export_arch.py, train the detector by its retrain.py, and take its work_dir'
            )
        raise ValueError(
            f'{config} is a search: its supernet is no single network. Export its answer, {way}'
        )
    weights = unwrapped(own := model.state_dict(), weights)
    if mismatch := find_mismatch(own, weights):
        raise ValueError(f'{checkpoint} is not a checkpoint of {config}: {mismatch}')
    model.load_state_dict(fitting(own, weights), strict=False)
    meta = content.get('meta')
    meta = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    meta = meta if isinstance(meta, Mapping) and meta.get('classes') else {}
    model.cfg = cfg
    model.weights_from = local_file(checkpoint)
    model.weights_averaged = not AVERAGED.isdisjoint(content)
    model.dataset_meta = _names(model, meta or dict(classes=cfg.get('classes')))
    return model


def _names(model: BaseModel, meta: Mapping) -> dict:
    """Names of the classes, ``meta`` if it has them; what the number of classes tells, if not."""
    head = next((getattr(model, h) for h in ('head', 'bbox_head') if hasattr(model, h)), None)
    if head is None and hasattr(model, 'roi_head'):
        head = model.roi_head.bbox_head
    head = head[0] if isinstance(head, torch.nn.ModuleList) else head  # a cascade's
    number = getattr(head, 'num_classes', None)
    names = meta.get('classes')
    if isinstance(names, (list, tuple)) and len(names) in (number, number or len(names)):
        return dict(meta, classes=tuple(map(str, names)))
    if number == 1000 and not is_detector(model):
        from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

        return dict(classes=tuple(IMAGENET_CATEGORIES))
    if number == 80 and is_detector(model):
        from mmdet.evaluation import get_classes

        return dict(classes=tuple(get_classes('coco')))
    return dict(classes=tuple(f'class {i}' for i in range(number or 0)))


def is_detector(model: BaseModel) -> bool:
    """Whether a model is one of mmdet, or of a class of its."""
    return any(cls.__module__.split('.')[0] == 'mmdet' for cls in type(model).__mro__)


# ---- its predictions ---------------------------------------------------------------------------


def predict(
    model: BaseModel,
    paths: Sequence[Path],
    *,
    top: int = 5,
    threshold: float = 0.3,
    out: str | os.PathLike = 'work_dirs/predict',
) -> Iterator[Prediction]:
    """What a model says of images, one after the other.

    Args:
        model (BaseModel): Of :func:`open_model`.
        paths (Sequence[Path]): Files. One that cannot be read has a prediction that says why.
        top (int): How many classes of a classifier; of one for several labels per image all those
            whose score reaches its threshold are said. Defaults to 5.
        threshold (float): Least score of a detector's boxes. Defaults to 0.3.
        out (str): Where the images with a detector's boxes are written; they have the names of
            their files, with that of the folder before it where two are alike.

    Raises:
        ValueError: If the model is neither a classifier nor a detector, or has no test pipeline.
    """
    pipeline = test_pipeline(model.cfg)
    if is_detector(model):
        run = _Detector(model, pipeline, threshold, Path(out), paths)
    elif any(cls.__module__.startswith('mmpretrain.') for cls in type(model).__mro__):
        run = _Classifier(model, pipeline, top)
    else:
        raise ValueError(f'{type(model).__name__} is neither a classifier nor a detector')
    for path in paths:
        try:
            image = decode_image(read_bytes(path, MAX_IMAGE_BYTES))
        except UNREADABLE as error:
            yield Prediction(path, [], unreadable=getattr(error, 'strerror', None) or str(error))
            continue
        yield run(path, image)


def test_pipeline(cfg: Config) -> list:
    """Steps of the test set, or of the validation set where there is none, wrappers opened.

    Raises:
        ValueError: If there are none.
    """
    for side in ('test', 'val'):
        loader = cfg.get(f'{side}_dataloader')
        dataset = (loader or {}).get('dataset')
        while isinstance(dataset, Mapping):
            if dataset.get('pipeline'):
                return list(dataset['pipeline'])
            inner = dataset.get('dataset') or dataset.get('datasets')
            dataset = inner[0] if isinstance(inner, (list, tuple)) and inner else inner
    raise ValueError('the config has no test_dataloader with a pipeline: it tells how to prepare')


class _Classifier:
    """mmpretrain's inferencer, without its reading and its progress bar."""

    def __init__(self, model: BaseModel, pipeline: list, top: int):
        from mmpretrain.apis import ImageClassificationInferencer

        model._config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
        self.inferencer = ImageClassificationInferencer(model)
        self.names, self.top = model.dataset_meta['classes'], top
        # Of a head of several labels: from which score on one is there.
        self.threshold = getattr(getattr(model, 'head', None), 'thr', None)

    def __call__(self, path: Path, image: np.ndarray) -> Prediction:
        (batch,) = self.inferencer.preprocess([image])
        (sample,) = self.inferencer.forward(batch)
        top = self.top if self.threshold is None else len(sample.pred_score)
        scores, labels = sample.pred_score.topk(min(top, len(sample.pred_score)))
        pairs = zip(labels.tolist(), scores.tolist())
        found = [Label(_name(self.names, i), score) for i, score in pairs]
        if self.threshold is None:
            return Prediction(path, found)
        sure = [label for label in found if label.score >= self.threshold]
        return Prediction(path, sure, below=found[0] if not sure else None)


class _Detector:
    """mmdet's inference of an array, and its drawing."""

    def __init__(
        self, model: BaseModel, pipeline: list, threshold: float, out: Path, paths: Sequence[Path]
    ):
        from mmcv.transforms import Compose
        from mmdet.visualization import DetLocalVisualizer

        # The image is an array, and nothing is known of what is on it.
        steps = [
            dict(type='mmdet.LoadImageFromNDArray') if kind_of(step) in LOADING else step
            for step in pipeline
            if kind_of(step) != 'LoadAnnotations'
        ]
        self.model, self.pipeline, self.threshold = model, Compose(steps), threshold
        self.visualizer = DetLocalVisualizer()
        palette = model.dataset_meta.get('palette') or 'random'
        self.visualizer.dataset_meta = dict(model.dataset_meta, palette=palette)
        self.names, self.files = model.dataset_meta['classes'], _files(paths, out)
        check_writable(out, '--out')
        out.mkdir(parents=True, exist_ok=True)

    def __call__(self, path: Path, image: np.ndarray) -> Prediction:
        from mmdet.apis import inference_detector

        sample = inference_detector(self.model, image, self.pipeline).cpu()
        found = sample.pred_instances
        rows = zip(found.labels.tolist(), found.scores.tolist(), found.bboxes.tolist())
        boxes = [
            Box(_name(self.names, label), score, tuple(corners)) for label, score, corners in rows
        ]
        sample.pred_instances = found[found.scores.argsort()]  # the surest is drawn over others
        with warnings.catch_warnings():  # of boxes and names that reach beyond the image
            warnings.simplefilter('ignore', UserWarning)
            self.visualizer.add_datasample(
                path.name,
                image[..., ::-1],
                sample,
                draw_gt=False,
                pred_score_thr=self.threshold,
                out_file=str(self.files[path]),
            )
        boxes.sort(key=lambda box: -box.score)
        sure = [box for box in boxes if box.score >= self.threshold]
        below = boxes[len(sure)] if len(sure) < len(boxes) else None
        return Prediction(path, sure, self.files[path], below=below)


LOADING = ('LoadImage', 'LoadImageFromFile', 'LoadImageFromNDArray')


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f'class {label}'


def _files(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """A file of its own for the drawing of each image."""
    files, taken = {}, set()
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in ('.jpg', '.jpeg', '.png') else '.jpg'
        parts = list(path.absolute().parent.parts[1:])
        name, number = path.stem, 1
        while f'{name}{suffix}' in taken:
            if parts:
                name = f'{parts.pop()}_{name}'
            else:
                number += 1
                name = f'{path.stem}_{number}'
        taken.add(f'{name}{suffix}')
        files[path] = out / f'{name}{suffix}'
    return files


def lines_of(prediction: Prediction) -> list[str]:
    """A prediction as text: the image, then a line for each class or box."""
    path, found, drawn, unreadable, below = prediction
    if unreadable is not None:
        return [f'{path}: passed over, it cannot be read: {unreadable}']
    lines = [f'{path}' + (f' -> {drawn}' if drawn else '')]
    if not found and (drawn or below):
        best = f'; the surest is {below.name}, {100 * below.score:.1f} %' if below else ''
        lines.append(f'   nothing above the threshold{best}')
    for item in found:
        line = f'  {100 * item.score:5.1f} %  {item.name}'
        if isinstance(item, Box):
            line = f'{line:36}' + ''.join(f' {round(x):5}' for x in item.corners)
        lines.append(line)
    return lines

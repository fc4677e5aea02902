"""A linear classifier on the features of a published network: what no fine-tuning at all gives."""

import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from ..datasets.split import split_off
from ..models.backbones.published import published_nets
from .compare_record import FORMAT, answers, settings_hash
from .create_model import create_model

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the weights, halved squares times this beside the mean cross entropy."""
HOLDOUT = 0.2  # of the training images, to choose the decay by
STEPS = 200


def fit_linear(x: Tensor, labels: Tensor, num_classes: int, decay: float) -> nn.Linear:
    """The linear classifier with the least mean cross entropy and decay of its weights.

    Args:
        x (Tensor): Features.
        labels (Tensor): Whole numbers.
        num_classes (int): Outputs.
        decay (float): Half of the sum of the squared weights counts as often as this.

    Shapes:
        x: (N, channels). labels: (N,).
    """
    linear = nn.Linear(x.shape[1], num_classes).to(x)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(
        linear.parameters(), max_iter=STEPS, tolerance_grad=1e-7, line_search_fn='strong_wolfe'
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(linear(x), labels)
        value = value + 0.5 * decay * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return linear


def probe(x: Tensor, labels: Tensor, num_classes: int, seed: int = 0) -> tuple[nn.Module, float]:
    """A classifier of features whose decay a part of them chose, and that decay.

    Features are standardised by their means and deviations, which the classifier holds.

    Shapes:
        x: (N, channels). labels: (N,).
    """
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - mean) / std
    held = split_off([(int(label),) for label in labels], HOLDOUT, seed=seed)
    chosen = torch.zeros(len(x), dtype=torch.bool)
    chosen[held] = True
    losses = {}
    for decay in DECAYS:
        linear = fit_linear(x[~chosen], labels[~chosen], num_classes, decay)
        with torch.no_grad():
            losses[decay] = float(F.cross_entropy(linear(x[chosen]), labels[chosen]))
    best = min(losses, key=losses.get)
    linear = fit_linear(x, labels, num_classes, best)
    with torch.no_grad():
        linear.weight /= std
        linear.bias -= linear.weight @ mean
    return linear, best


def probe_folder(
    data_root: str | Path, arch: str = 'lite0', input_size: int | None = None
) -> dict[str, Any]:
    """The record of a probe: trained on ``train/<class>/``, tested on ``val/<class>/``.

    Args:
        data_root (str | Path): With both folders.
        arch (str): A published network whose weights are installed; its own normalisation is
            applied. Defaults to 'lite0'.
        input_size (int, optional): Side of the images in pixels. Defaults to the network's own.

    Raises:
        FileNotFoundError: If the weights or the images are not there.
    """
    train, val = (
        dict(type='cream_mm.ImageFolder', data_root=str(data_root), folder=folder)
        for folder in ('train', 'val')
    )
    return probe_sets(train, val, arch, input_size)


def probe_sets(
    train: Mapping, val: Mapping, arch: str = 'lite0', input_size: int | None = None
) -> dict[str, Any]:
    """The record of a probe that is trained and tested on two data sets.

    Args:
        train, val (dict): Their configs. A pipeline in them does not count: both are read at the
            size of the images, without augmentation.
        arch, input_size: As for :func:`probe_folder`.

    Raises:
        FileNotFoundError: If the weights or the images are not there.
    """
    start, usage = time.time(), resource.getrusage(resource.RUSAGE_SELF)
    init_default_scope('mmpretrain')
    model = create_model(arch, pretrained=True).eval()
    side = input_size or published_nets[arch].input_size
    scale = round(side / published_nets[arch].crop_pct)
    pipeline = [
        dict(type='cream_mm.LoadImage'),
        dict(type='ResizeEdge', scale=scale, edge='short', interpolation='bicubic',
             backend='pillow'),
        dict(type='CenterCrop', crop_size=side),
        dict(type='PackInputs'),
    ]  # fmt: skip
    cfg = model._config.copy()
    for key, dataset in (('train', train), ('val', val)):
        cfg[f'{key}_dataloader'] = dict(
            batch_size=128,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(dataset, pipeline=pipeline),
        )  # fmt: skip
    x, labels = _features(model, cfg.train_dataloader)
    classes = DATASETS.build(cfg.train_dataloader.dataset).metainfo['classes']
    linear, decay = probe(x, labels, len(classes))
    model.head.classifier = linear
    said = answers(model, cfg)
    now = resource.getrusage(resource.RUSAGE_SELF)
    return dict(
        format=FORMAT, name='linear-probe', kind='linear-probe', share=None, seed=0, epochs=0,
        settings=settings_hash(arch, str(side), str(DECAYS)), start=arch, input_size=side,
        decay=decay, resumed=False,
        cpu_s=round(now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime, 1),
        minutes=round((time.time() - start) / 60, 2), **said,
    )  # fmt: skip


@torch.no_grad()
def _features(model: nn.Module, loader: dict) -> tuple[Tensor, Tensor]:
    """What the last layer of a classifier is given, and the labels."""
    found, labels = [], []

    def note(module: nn.Module, given: Sequence[Tensor]) -> None:
        found.append(given[0].flatten(1))

    handle = model.head.classifier.register_forward_pre_hook(note)
    try:
        for batch in Runner.build_dataloader(loader):
            data = model.data_preprocessor(batch, False)
            model(data['inputs'], mode='tensor')
            labels += [int(sample.gt_label.flatten()[0]) for sample in data['data_samples']]
    finally:
        handle.remove()
    return torch.cat(found), torch.tensor(labels)

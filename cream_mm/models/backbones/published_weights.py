"""Weights by the name of a published network, in the place of a file."""

from pathlib import Path

from torch import Tensor

from ...checkpoints.installed_weights import weights_file, weights_in_order
from ...checkpoints.load_weights import load_weights, local_file
from .published import published_nets

NORM = ('weight', 'bias', 'running_mean', 'running_var')


def read_weights(source: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, or those of a published network.

    Args:
        source (str | Path): A file, its http(s) address, or a name of ``published_nets``: names
            come first.

    Raises:
        FileNotFoundError: If there is no such file, or the package that holds the weights is not
            installed.
        ValueError: If the file holds no weights, or there are none of that network.
    """
    if str(source) in published_nets:
        return published_weights(str(source))
    is_name = not Path(source).suffix and len(Path(source).parts) == 1
    if is_name and not Path(source).exists():
        raise FileNotFoundError(
            f'no checkpoint {source}, and no published network of that name; there are weights of '
            f'{", ".join(name for name, net in published_nets.items() if net.package)}'
        )
    return load_weights(local_file(source))


def published_weights(name: str) -> dict[str, Tensor]:
    """ImageNet weights of a published network, under the names of a classifier around it.

    Raises:
        FileNotFoundError: If the package that holds them is not installed.
        ValueError: If no package holds them; says where there are some.
    """
    package = published_nets[name].package
    if package is None:
        raise ValueError(_elsewhere(name))
    return weights_in_order(weights_file(package), _names(name))


def _elsewhere(name: str) -> str:
    text = f'no package holds weights of {name}'
    if file := published_nets[name].checkpoint:
        text += (
            f": convert the authors' {file} (docs/model_zoo.md says where it lies) with "
            'tools/convert_checkpoint.py'
        )
    else:
        text += ': train it (docs/model_zoo.md names the config)'
    with_weights = [key for key, net in published_nets.items() if net.package]
    return f'{text} and give checkpoint=FILE. There are weights of {", ".join(with_weights)}'


def _names(name: str) -> list[str]:
    """Names of all tensors of EfficientNet-Lite in order, as ours has them."""
    layers = [
        'conv_stem',
        'bn1',
        *(f'blocks.0.0.{x}' for x in ('conv_dw', 'bn1', 'conv_pw', 'bn2')),
    ]
    for spec in published_nets[name].network()[1].layers():
        parts = ('conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3')
        layers += [f'blocks.{spec.stage}.{spec.layer}.{part}' for part in parts]
    layers = [f'backbone.{layer}' for layer in layers] + ['head.conv_head', 'head.bn2']
    names = []
    for layer in layers:
        is_norm = layer.rpartition('.')[2].startswith('bn')
        names += [f'{layer}.{part}' for part in (NORM if is_norm else ('weight',))]
    return [*names, 'head.classifier.weight', 'head.classifier.bias']

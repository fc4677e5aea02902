"""What exports and detectors ask of a kind of space is asked of the class of its networks."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config
from torch import nn

from cream_mm import create_model
from cream_mm.apis.export_arch import export_arch
from cream_mm.costs import Cost, CostModel, build_cost_model
from cream_mm.files.arch_file import arch_content
from cream_mm.models import CreamNet, NASBench201Net
from cream_mm.models.backbones import FixedNetwork, network_class, own_class
from cream_mm.models.backbones.resolve_arch import resolve_arch
from cream_mm.models.supernets import cut_weights
from cream_mm.registry import MODELS, TASK_UTILS
from cream_mm.spaces import MBConvSpace, NASBench201Space, Space
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace

CREAM = [[0], [0], [3], [3], [1], [3], [0]]
CELL = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'


def test_each_space_has_its_class():
    assert network_class(MBConvSpace()) is CreamNet
    assert network_class(NASBench201Space()) is NASBench201Net
    with pytest.raises(ValueError, match='no fixed networks of a ToySpace are known'):
        network_class(ToySpace())


@pytest.mark.parametrize(
    ('kind', 'cls'),
    [
        ('cream_mm.CreamNet', CreamNet), (NASBench201Net, NASBench201Net), ('ResNet', None),
        ('cream_mm.models.NASBench201Net', NASBench201Net), (None, None), ('mmdet.ResNet', None),
        ('cream_mm.NASBench201Supernet', None), ('cream_mm.Nothing', None),
    ],
)  # fmt: skip
def test_the_class_that_a_config_names(kind, cls):
    assert own_class(dict(type=kind)) is cls


@pytest.mark.parametrize(('arch', 'image'), [(CREAM, 64), (CELL, 32)])
def test_what_is_said_of_maps_is_so(arch, image):
    arch, space, _ = resolve_arch(arch)
    cls = network_class(space)
    channels = cls.map_channels(arch, space)
    config = dict(cls.config(arch, space, out_indices=range(len(channels))))
    net = MODELS.build(config).eval()
    assert isinstance(net, cls) and (net.arch, net.space) == (arch, space)
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, image, image))
    assert tuple(x.shape[1] for x in maps) == channels == net.out_channels
    assert tuple(image // x.shape[2] for x in maps) == cls.map_strides(arch, space)
    assert set(cls.feature_indices(arch, space)) <= set(range(len(channels)))
    head = cls.head_settings(arch, space)
    assert head['in_channels'] == channels[cls.last_map(arch, space)]
    assert set(cls.next_steps) == {'retrain', 'detector'}


def test_other_strides_have_the_same_weights():
    arch, space, _ = resolve_arch(CELL, dict(num_cells=1, channels=4))
    others = space.with_other_strides()
    assert [other.stem_stride for other in others] == [2, 4, 8]
    shapes = {k: v.shape for k, v in NASBench201Net(arch, space=space).state_dict().items()}
    for other in others:
        net = NASBench201Net(arch, space=other, out_indices=(0, 1, 2)).eval()
        assert {k: v.shape for k, v in net.state_dict().items()} == shapes
        strides = tuple(64 // x.shape[2] for x in net(torch.zeros(1, 3, 64, 64)))
        assert strides == NASBench201Net.map_strides(arch, other)
    assert MBConvSpace().with_other_strides() == []


def test_drawn_weights_are_those_of_a_training():
    for arch in (CREAM, CELL):
        model = create_model(arch, num_classes=3)
        torch.manual_seed(0)
        other = MODELS.build(model.backbone.config(model.backbone.arch, model.backbone.space))
        other.init_weights()
        torch.manual_seed(0)
        mine = MODELS.build(model.backbone.config(model.backbone.arch, model.backbone.space))
        mine.draw_weights()
        for key, value in other.state_dict().items():
            assert torch.equal(mine.state_dict()[key], value)


# ---- a third kind, in one piece --------------------------------------------------------------


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class WidthSpace(Space):
    """Two convolutions; each is as wide as its choice, and the second sees the first."""

    name: str = 'widths'
    unit: int = 4
    sizes = (3, 3)
    file_words: ClassVar[Mapping[str, tuple]] = {}

    def decode(self, flat, like=None):
        return Arch((tuple(flat),), self.name, self.fixed_ends)

    def to_dict(self):
        return dict(type='cream_mm.WidthSpace', **asdict(self))


class WidthCosts(CostModel):
    """Not additive: a product of both choices."""

    head_channels = 0

    def __init__(self, space, input_size, num_classes=1000):
        self.space, self.input_size, self.num_classes = space, (input_size,) * 2, num_classes

    def cost(self, arch):
        a, b = (self.space.unit * (choice + 1) for choice in self.space.encode(arch))
        params = 9 * (3 * a + a * b)
        return Cost(params * self.input_size[0] ** 2, params)

    def layer_table(self, arch):
        return []


@MODELS.register_module()
class WidthNet(FixedNetwork):
    """Maps of both convolutions, whose channels are the architecture's."""

    space_class = WidthSpace
    next_steps = dict(
        retrain='configs/nas_bench_201/retrain_cifar.py',
        detector='configs/detection/retinanet_nb201_fpn_1x_coco.py',
    )

    def __init__(self, arch, *, space=None, out_indices=None, norm_cfg=None, init_cfg=None):
        super().__init__(init_cfg)
        self.arch, self.space, _ = resolve_arch(arch, space, WidthSpace)
        a, b = self.out_channels = self.map_channels(self.arch, self.space)
        self.cells = nn.ModuleList([nn.Conv2d(3, a, 3, 2, 1), nn.Conv2d(a, b, 3, 2, 1)])
        self.out_indices = out_indices or (1,)

    @classmethod
    def map_channels(cls, arch, space):
        return tuple(space.unit * (choice + 1) for choice in space.encode(arch))

    @classmethod
    def map_strides(cls, arch, space):
        return 2, 4

    def forward(self, x):
        first = self.cells[0](x)
        maps = first, self.cells[1](first)
        return tuple(maps[i] for i in self.out_indices)


network_class.register(WidthSpace, lambda space: WidthNet)


@build_cost_model.register
def _width_costs(space: WidthSpace, input_size, num_classes=1000, head_channels=None, *,
                 head='classifier', latency=None):  # fmt: skip
    side = input_size if isinstance(input_size, int) else input_size[0]
    return WidthCosts(space, side, num_classes if head else None)


@cut_weights.register
def _cut_widths(space: WidthSpace, state_dict, arch, prefix='backbone.', about=None):
    widths = dict(zip((0, 1), (space.unit * (choice + 1) for choice in space.encode(arch))))
    return {
        key: value[: widths[int(key.split('.')[2])]] if '.cells.' in key else value
        for key, value in state_dict.items()
    } | {f'{prefix}cells.1.weight': state_dict[f'{prefix}cells.1.weight'][: widths[1], : widths[0]]}


def test_a_third_kind_is_exported(tmp_path):
    """Files, a network by its file, weights, retraining, and a line where a detector cannot be."""
    space = WidthSpace()
    arch = space.parse('20')
    costs = build_cost_model(space, 16, 5)
    path = tmp_path / 'best_arch.json'
    path.write_text(json.dumps(arch_content(arch, costs, next_steps={})))
    full = WidthNet('22', space=space).state_dict(prefix='backbone.')
    torch.save(dict(state_dict=full), tmp_path / 'epoch_1.pth')
    root, said = str(Path(__file__).parents[3]), []
    # The default detector takes three maps, and this has two.
    files = export_arch(str(path), None, str(tmp_path / 'out'), root=root, say=said.append)
    assert sorted(files) == ['arch', 'retrain', 'weights']
    assert said == []
    model = create_model(str(files['arch']))
    assert model.head.in_channels == 4 and model(torch.zeros(1, 3, 16, 16)).shape == (1, 5)
    state = torch.load(files['weights'])['state_dict']
    model.backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()})
    retrain = Config.fromfile(str(files['retrain']))
    assert retrain.model.backbone.type == 'cream_mm.WidthNet'
    assert retrain.model.backbone.arch == [[2, 0]] and retrain.model.head.in_channels == 4

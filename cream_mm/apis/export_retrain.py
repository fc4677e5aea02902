"""The config of an export that trains the network as a classifier."""

from collections.abc import Mapping

from mmengine.config import Config

from ..config.carry import entries, override
from ..config.label_data import LABEL_OPTIONS
from ..config.multi_label import fit_multi_label
from ..config.normalisation import in_bgr, refill
from ..datasets.folder_listing import holdout_share
from ..models.backbones import network_class
from ..registry import kind_of
from ..spaces import ElasticSpace, Space
from ..structures import Arch
from .export_config import WEIGHTS_BESIDE, ready, set_backbone, take_over

MOST_HELD_OUT = holdout_share(0)
"""The largest share that ``holdout='auto'`` is."""


def retrain_config(cfg: Config, arch: Arch, space: Space, about: Mapping) -> Config:
    """Put an architecture into a classifier's config of the repository, in place.

    Args:
        cfg (Config): What the search names in ``next_steps.retrain``.
        arch, space (Arch, Space): The network.
        about (dict): What its file says beside.
    """
    take_over(cfg, about, ('data_root', 'num_classes', 'batch_size', 'num_workers'))
    cfg.pop('classes', None)
    if about.get('classes'):
        cfg.classes = tuple(about['classes'])
    for key in LABEL_OPTIONS:
        if about.get(key) is not None:
            cfg[key] = about[key]
    if about.get('multi_label'):
        fit_multi_label(cfg)
    if 'input_size' in cfg and 'input_size' in about:
        override(cfg, dict(input_size=about['input_size'][0]))
    fields = space.to_dict()  # which a config may name at its top level
    override(
        cfg, {key: fields[key] for key in fields if key in cfg and key not in ('type', 'name')}
    )
    backbone = cfg.model.backbone
    set_backbone(backbone, arch, space, about, its_space=backbone.get('space') or {})
    head, norm_cfg = cfg.model.head, backbone.get('norm_cfg')
    for key in ('norm_cfg', 'act'):
        head.pop(key, None)
    network = network_class(space)
    head.update(network.head_settings(arch, space, about['head_channels'], norm_cfg))
    head.update({k: v for k, v in network.head_channels(arch, space).items() if head.get(k)})
    if 'crop_pct' in about and 'input_size' in about:
        scale = round(about['input_size'][0] / about['crop_pct'])
        for node, key in list(entries(cfg._cfg_dict)):
            if key == 'type' and kind_of(node) == 'ResizeEdge':
                node['scale'] = scale
    preprocessor = cfg.model.data_preprocessor
    if about.get('preprocess') is not None:
        new = dict(dict(mean=None, std=None), **about['preprocess'])
        refill(cfg._cfg_dict, in_bgr(preprocessor, 'to_rgb'), in_bgr(new, 'to_rgb'))
        preprocessor.update(new)
    folders, split = about.get('folders') or {}, _split_of(about)
    for side in ('train', 'val', 'test'):
        dataset = cfg[f'{side}_dataloader'].dataset
        folder = folders.get('train' if side == 'train' else 'val')
        if folder and folders.get('train') == folders.get('val'):  # there is none to validate on
            part = 'train' if side == 'train' else 'holdout'
            dataset.update(part=part, **{'holdout': 'auto', **split})
        elif kind_of(dataset) == 'ImageFolder' and side == 'train':
            dataset.update(split)  # for data that has none to validate on
        if folder and (folder != 'train' or 'folder' in dataset):
            dataset.folder = folder
        if about.get('classes'):
            dataset.metainfo = dict(dataset.get('metainfo') or {}, classes=cfg.classes)
    for side in ('val', 'test'):
        evaluator = cfg.get(f'{side}_evaluator')
        if isinstance(evaluator, dict) and isinstance(evaluator.get('topk'), (list, tuple)):
            evaluator.topk = tuple(k for k in evaluator.topk if k <= about['num_classes'])
    return ready(cfg, scope='mmpretrain')


def _split_of(about: Mapping) -> dict:
    """Which images a training holds out of a folder, where there are none to validate on.

    Those of ``'auto'`` are among those of a larger share, which the search was not trained on. Of a
    smaller share, and of another seed, others of them were.
    """
    split = dict(about.get('split') or {})
    share = split.get('holdout', 'auto')
    if share == 'auto' or share >= MOST_HELD_OUT:
        split.pop('holdout', None)
    return {key: value for key, value in split.items() if value}


def fine_tunes(cfg: Config) -> bool:
    """Whether a config begins with trained weights."""
    parts = (cfg.model.get(part) or {} for part in ('backbone', 'head'))
    return any(part.get('init_cfg') for part in parts)


def fine_tune(
    cfg: Config, about: Mapping, *, with_weights: bool, teacher: str | None = None
) -> list[str]:
    """Begin with ``weights.pth``, a slice of a full network with that as its teacher, in place.

    Images are read at the full network's size where there is a teacher, so that it sees them as
    it was trained. The network takes them at its own size; so do validation and tests.

    Args:
        cfg (Config): That of the network, without them.
        about (dict): What the network's file says.
        with_weights (bool): Whether ``weights.pth`` stands beside the config.
        teacher (str, optional): The full network's file, as the config is to name it.

    Returns:
        list[str]: What to know of the config, a line each.
    """
    lines = []
    for part in ('backbone', 'head'):  # that of the network that the base is around
        (cfg.model.get(part) or {}).pop('init_cfg', None)
    if with_weights:  # of head and neck, too; what does not fit other classes is said, and drawn
        cfg.load_from = WEIGHTS_BESIDE
        lines.append('It starts from weights.pth beside it.')
    if 'teacher' not in cfg.model or not about.get('slice_of'):
        return lines
    if teacher is None:
        return [*lines, 'It has no teacher: there is no full.pth. The labels alone train it.']
    space = ElasticSpace.build(about['slice_of']['space'])
    cfg.model.teacher = dict(_full_network(cfg.model, space), checkpoint=teacher)
    own = cfg.input_size
    full = space.input_sizes[0] if space.input_sizes else own
    line = 'It is distilled from the full network, full.pth, which only the training needs'
    if own == full:
        return [*lines, f'{line}.']
    for node, key in list(entries(cfg.train_dataloader)):
        if key in ('scale', 'crop_size') and node[key] == own:
            node[key] = full
    cfg.model.input_size = own
    size = f'That sees images of {full} pixels; the network the same ones, reduced to {own}.'
    return [*lines, f'{line}.', size]


def _full_network(model: Mapping, space: ElasticSpace) -> dict:
    """Backbone and head of the teacher of a model around a slice."""
    full, its_space = space.full, space.skeleton.of_network(space.full)
    network, norm_cfg = network_class(its_space), model['backbone'].get('norm_cfg')
    backbone = network.config(full, its_space, **(dict(norm_cfg=norm_cfg) if norm_cfg else {}))
    head = {k: v for k, v in model['head'].items() if k not in ('loss', 'init_cfg', 'dropout')}
    settings = network.head_settings(full, its_space, head.get('hidden_channels'), norm_cfg)
    return dict(backbone=backbone, head={**head, **settings})

"""Numbers of a config that can be no such number: said in one line, before any data is read.

mmengine hands a value to whoever takes it, hours later as it may be: ``num_bn_images=0`` fails when
the search has ended, ``lr=nan`` trains nothing, and ``batch_size='16'`` ends in torch. Here a table
says what stands under a name, wherever in the tree it is; nothing is imported or built for it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

_MAX_SEED = 2**32 - 1
_PIPELINE = re.compile(r'^\w+_pipeline\w*$')  # train_pipeline, switch_pipeline, ...


class Rule(NamedTuple):
    """What a value has to be."""

    sentence: str  # goes on from 'it is'
    holds: Callable[[Any], bool]

    def or_none(self) -> 'Rule':
        """This, or None."""
        return Rule(f'{self.sentence}, or None', lambda v: v is None or self.holds(v))

    def or_text(self, *texts: str) -> 'Rule':
        """This, or one of some words."""
        words = ' or '.join(map(repr, texts))
        return Rule(f'{self.sentence}, or {words}', lambda v: v in texts or self.holds(v))

    def or_list(self) -> 'Rule':
        """This, or a list of such, which may be nested."""
        return Rule(f'{self.sentence}, or a list of such', self._all)

    def _all(self, value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return len(value) > 0 and all(map(self._all, value))
        return self.holds(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _whole(low: int, *also: int, why: str = '') -> Rule:
    """Whole numbers from ``low`` on, and those of ``also``, which mean ``why``."""
    sentence = f'a whole number of at least {low}'
    if also:
        sentence += f', or {", ".join(map(str, also))} for {why}'
    return Rule(
        sentence,
        lambda v: (
            isinstance(v, Integral) and not isinstance(v, bool) and (v >= low or int(v) in also)
        ),
    )


def _real(sentence: str, holds: Callable[[Any], bool], finite: bool = True) -> Rule:
    return Rule(sentence, lambda v: _is_number(v) and (not finite or math.isfinite(v)) and holds(v))


def _pair(sentence: str, of: Rule) -> Rule:
    return Rule(
        sentence,
        lambda v: isinstance(v, (list, tuple)) and len(v) == 2 and all(map(of.holds, v)),
    )


def _or_mapping(rule: Rule) -> Rule:
    return Rule(
        f'{rule.sentence}, or a dictionary', lambda v: isinstance(v, Mapping) or rule.holds(v)
    )


def _list_of(what: str, rule: Rule) -> Rule:
    return Rule(
        f'a list of {what}',
        lambda v: isinstance(v, (list, tuple)) and all(map(rule.holds, v)),
    )


def _are_dicts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, Mapping) for one in value)


def _is_range(value: Any) -> bool:
    """Whether it is (low, high) with an open end or none."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    low, high = (end if end is not None else usual for end, usual in zip(value, (0, math.inf)))
    return all(map(_is_number, (low, high))) and low <= high and math.isfinite(low)


def _is_intervals(value: Any) -> bool:
    pair = _pair('', _whole(1))
    return isinstance(value, (list, tuple)) and all(map(pair.holds, value))


def _is_cells(value: Any) -> bool:
    """Whether it is [[(layers, width), ...], ...], of each block one at least."""
    if not isinstance(value, (list, tuple)):
        return False
    pair = _pair('', _whole(1))
    return all(
        isinstance(block, (list, tuple)) and block and all(map(pair.holds, block))
        for block in value
    )


def _is_rates(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value is None
    return all(map(_NOT_NEGATIVE.holds, value.values()))


_WHOLE = Rule('a whole number', lambda v: isinstance(v, Integral) and not isinstance(v, bool))
_COUNT = _whole(1)
_COUNT_OR_NONE = _COUNT.or_none()
_COUNTS = _COUNT.or_list().or_none()
_FROM_ZERO = _whole(0)
_FINITE = _real('a finite number', lambda v: True)
_POSITIVE = _real('a finite number above 0', lambda v: v > 0)
_NOT_NEGATIVE = _real('a finite number of at least 0', lambda v: v >= 0)
_NORM = _real('a number above 0', lambda v: v > 0, finite=False)
_SHARE = _real('a share, 0 to 1', lambda v: 0 <= v <= 1)
_BELOW_ONE = _real('a number of at least 0 and below 1', lambda v: 0 <= v < 1)
_EPOCHS = _list_of('epochs from 1 on, or shares of the run below 1', _real('', lambda v: v >= 0))
_SEED = Rule(
    f'a whole number, 0 to {_MAX_SEED}, or None',
    lambda v: v is None or _FROM_ZERO.holds(v) and v <= _MAX_SEED,
)
_INTERVAL = _whole(1, -1, why='never')
_LIMIT = _whole(1, -1, why='no limit')
_TIME = _real('a number of at least 0', lambda v: v >= 0, finite=False)
_MILLIONS = Rule('a range (low, high) in millions, low <= high; None leaves an end open', _is_range)
_SIDES = Rule(
    'a whole number of pixels, at least 1, or two of them, height and width',
    lambda v: _COUNT.holds(v) or _pair('', _COUNT).holds(v),
)
_PIXELS = Rule(
    'a list of whole numbers of pixels, at least 1; an empty one for the one size that there is',
    lambda v: v is None or v in ([], ()) or _COUNT.or_list().holds(v),
)
# Also shares of the image, and -1 or None for a side that follows from the other one.
_SIZE = _real('a number of pixels above 0', lambda v: v > 0 or v == -1, finite=False)
_SIZES = _SIZE.or_list().or_none()

# A name, and in front of it what it has to stand below, at any distance, where the name alone says
# too little: the nearest counts, then the name alone. A dot in front is the top level of a config.
RULES: dict[str, Rule] = {
    # data
    'batch_size': _COUNT,
    'num_workers': _FROM_ZERO,
    'prefetch_factor': _COUNT_OR_NONE,
    'holdout': _real(
        'a share between 0 and 1 (of UnlabelledImages also a number of images)',
        lambda v: 0 < v < 1 or isinstance(v, Integral) and v >= 1,
    ).or_text('auto'),
    'split_seed': _FROM_ZERO,
    'folds': _whole(2).or_none(),
    'fold': _FROM_ZERO.or_none(),
    'max_share': _SHARE,
    'filter_cfg.min_size': _NOT_NEGATIVE,
    '.input_size': _SIDES,
    'input_sizes': _PIXELS,
    'model.input_size': _SIDES.or_none(),
    '.num_classes': _COUNT,
    'data_preprocessor.num_classes': _COUNT_OR_NONE,
    'model.num_classes': _COUNTS,
    '.scale': _SIZES,
    'crop_size': _SIZES,
    'pipeline.scale': _SIZES,
    'pipeline.size': _or_mapping(_SIZES),  # imgaug's and albumentations' own arguments
    'pipeline.img_scale': _SIZES,
    'pipeline.pad_val': _or_mapping(_FINITE.or_list()),
    'pipeline.magnitude_range': _pair('two finite numbers', _FINITE),
    'pipeline.prob': _SHARE.or_list(),
    'pipeline.ratio_range': _POSITIVE.or_list(),
    'pipeline.brightness': _NOT_NEGATIVE.or_list(),
    'pipeline.contrast': _NOT_NEGATIVE.or_list(),
    'pipeline.saturation': _NOT_NEGATIVE.or_list(),
    'pipeline.padding': _FROM_ZERO.or_list().or_none(),
    'pipeline.magnitude_level': _NOT_NEGATIVE,
    'pipeline.magnitude_std': _TIME.or_text('inf'),
    'pipeline.total_level': _POSITIVE,
    'erase_prob': _SHARE,
    'min_area_ratio': _SHARE,
    'max_area_ratio': _SHARE,
    'aspect_range': _POSITIVE.or_list(),
    'num_policies': _COUNT,
    'max_cached_images': _COUNT,
    'val_evaluator.topk': _COUNTS,
    'test_evaluator.topk': _COUNTS,
    'val_evaluator.proposal_nums': _COUNTS,
    'test_evaluator.proposal_nums': _COUNTS,
    # the run
    'max_epochs': _COUNT,
    'max_minutes': _POSITIVE.or_none(),
    'full_share': _SHARE,
    'max_iters': _COUNT,
    'min_steps': _COUNT_OR_NONE,
    'val_interval': _real(
        'a whole number of at least 1', lambda v: v >= 1 and v == int(v)
    ),  # mmdet's configs compute it by a division
    'val_begin': _FROM_ZERO,
    'dynamic_intervals': Rule(
        'a list of pairs (epoch, interval) of whole numbers of at least 1', _is_intervals
    ).or_none(),
    'switch_epoch': _FROM_ZERO,
    'seed': _SEED,
    'opencv_num_threads': _FROM_ZERO,
    'default_hooks.interval': _INTERVAL,
    'custom_hooks.interval': _INTERVAL,
    'max_keep_ckpts': _whole(1, -1, why='all'),
    'save_begin': _FROM_ZERO,
    'log_processor.window_size': _COUNT.or_text('global', 'epoch'),
    'default_hooks.warmup': _NOT_NEGATIVE,
    'default_hooks.window': _COUNT,
    'custom_hooks.warmup': _NOT_NEGATIVE,
    'custom_hooks.gamma': _POSITIVE,
    'custom_hooks.max_norm': _NORM,
    'custom_hooks.momentum': _real('a share above 0, at most 1', lambda v: 0 < v <= 1),
    'custom_hooks.num_images': _COUNT,
    'custom_hooks.patience': _COUNT,
    'custom_hooks.refit': _FROM_ZERO.or_none(),
    'custom_hooks.min_batch': _COUNT,
    'custom_hooks.min_delta': _NOT_NEGATIVE,
    'custom_hooks.stopping_threshold': _FINITE.or_none(),
    # Of mmpretrain's SwitchRecipeHook it is a list of actions.
    'custom_hooks.schedule': _EPOCHS._replace(holds=lambda v: _EPOCHS.holds(v) or _are_dicts(v)),
    'custom_hooks.restart_at': _EPOCHS,
    # optimizer and schedule
    'optimizer.lr': _POSITIVE,
    '.lr': _POSITIVE,
    '.base_lr': _POSITIVE,
    'optimizer.momentum': _BELOW_ONE,
    'optimizer.weight_decay': _NOT_NEGATIVE,
    'optimizer.eps': _NOT_NEGATIVE,
    'optimizer.betas': _pair('two numbers of at least 0 and below 1', _BELOW_ONE),
    'optimizer.alpha': _BELOW_ONE,
    'accumulative_counts': _COUNT,
    'optim_wrapper.loss_scale': _or_mapping(_POSITIVE.or_text('dynamic')),
    'clip_grad.max_norm': _NORM,
    'clip_grad.norm_type': _NORM.or_text('inf'),
    'clip_grad.clip_value': _POSITIVE,
    'base_batch_size': _COUNT,
    'norm_decay_mult': _NOT_NEGATIVE,
    'bias_decay_mult': _NOT_NEGATIVE,
    'bias_lr_mult': _NOT_NEGATIVE,
    'dwconv_decay_mult': _NOT_NEGATIVE,
    'flat_decay_mult': _NOT_NEGATIVE,
    'layer_decay_rate': _POSITIVE,
    'lr_mult': _NOT_NEGATIVE,
    'decay_mult': _NOT_NEGATIVE,
    'param_scheduler.begin': _TIME,
    'param_scheduler.end': _TIME.or_none(),
    'param_scheduler.T_max': _POSITIVE.or_none(),
    'param_scheduler.eta_min': _NOT_NEGATIVE.or_none(),
    'param_scheduler.eta_min_ratio': _NOT_NEGATIVE.or_none(),
    'param_scheduler.start_factor': _real('a number above 0, at most 1', lambda v: 0 < v <= 1),
    'param_scheduler.end_factor': _SHARE,
    'param_scheduler.factor': _NOT_NEGATIVE,
    'param_scheduler.power': _NOT_NEGATIVE,
    'param_scheduler.gamma': _POSITIVE,
    'param_scheduler.step_size': _COUNT,
    'param_scheduler.milestones': _list_of('whole numbers of at least 0', _FROM_ZERO),
    'param_scheduler.patience': _FROM_ZERO,
    'param_scheduler.threshold': _NOT_NEGATIVE,
    'param_scheduler.min_value': _NOT_NEGATIVE,
    'param_scheduler.eps': _NOT_NEGATIVE,
    'param_scheduler.warmup_epochs': _NOT_NEGATIVE,
    'param_scheduler.warmup_lr': _NOT_NEGATIVE,
    'param_scheduler.decay_epochs': _POSITIVE,
    'param_scheduler.second': _POSITIVE,
    'num_paths': _COUNT,
    # search
    'num_random': _FROM_ZERO,
    'num_images': _COUNT_OR_NONE,
    'num_bn_images': _COUNT,
    'keep_gb': _NOT_NEGATIVE,
    'max_gb': _NOT_NEGATIVE,
    'test_cfg.num': _COUNT,
    'strategy.num_random': _whole(2),
    'strategy.population': _whole(2),
    'strategy.tournament': _COUNT,
    'strategy.num_initial': _whole(2),
    'strategy.num_new': _COUNT,
    'strategy.num_seeds': _COUNT,
    'strategy.epochs': _COUNT,
    'strategy.expand': _COUNT,
    'strategy.held_share': _BELOW_ONE.or_none(),
    'op_prob': Rule(
        'a list of numbers of at least 0, one for each choice, not all 0; or None',
        lambda v: (
            v is None or _list_of('', _NOT_NEGATIVE).holds(v) and any(v)
        ),
    ),
    'board.capacity': _COUNT,
    'board.num_images': _COUNT,
    'board.score_gap': _FINITE,
    'distill_weight': _SHARE,
    'model.temperature': _POSITIVE,
    'model.blocks': _list_of('whole numbers of at least 1', _COUNT).or_none(),
    'model.late_bn_momentum': _real('a share above 0, at most 1', lambda v: 0 < v <= 1).or_none(),
    'model.teacher_channels': _list_of('whole numbers of at least 1', _COUNT),
    'space.depths': _list_of('whole numbers of at least 1', _COUNT),
    'space.widths': _list_of('whole numbers of at least 1', _COUNT),
    'space.strides': _list_of('1 or 2', Rule('1 or 2', lambda v: v in (1, 2))),
    'space.bn_eps': _POSITIVE.or_none(),
    'space.stem_channels': _COUNT,
    'space.first_channels': _FROM_ZERO.or_none(),
    'space.final_channels': _FROM_ZERO,
    'space.head_channels': _FROM_ZERO,
    'space.cells': Rule(
        'a list, for each block, of its cells (layers, width), whole numbers of at least 1',
        _is_cells,
    ),
    'space.width_mult': _POSITIVE,
    'space.channels': _COUNT,
    'space.num_cells': _COUNT,
    'router.num_banks': _COUNT.or_none(),
    'router.active': _COUNT,
    'router.op_dim': _COUNT,
    'router.node_dim': _COUNT,
    'router.hidden_dim': _COUNT,
    'router.gcn_dims': _list_of('whole numbers of at least 1', _COUNT),
    'router.mlp_dims': _list_of('whole numbers of at least 1', _COUNT),
    'router.temperature': _POSITIVE,
    'router.table': _list_of('whole numbers of at least 0', _FROM_ZERO),
    'router.dropout': _BELOW_ONE,
    'space.stem_stride': _COUNT,
    'paramwise_cfg.rates': Rule(
        "a dictionary of factors on the rate, by what parameters' names begin with, or None",
        _is_rates,
    ),
    # model
    'model.in_channels': _COUNTS,
    'model.out_channels': _COUNTS,
    'model.feat_channels': _COUNTS,
    'model.fc_out_channels': _COUNT,
    'model.hidden_channels': _FROM_ZERO.or_list().or_none(),  # 0: a head without
    'model.num_outs': _COUNT,
    'model.stacked_convs': _FROM_ZERO,
    'model.num_csp_blocks': _COUNT,
    'model.roi_feat_size': _COUNTS,
    'model.out_indices': _WHOLE.or_list().or_none(),
    'model.frozen_stages': _whole(-1),
    'model.dropout': _SHARE,
    'model.drop_path_rate': _SHARE.or_list(),
    'model.label_smooth_val': _SHARE,
    'loss_cls.alpha': _NOT_NEGATIVE.or_list(),
    'loss_cls.gamma': _NOT_NEGATIVE,
    'loss_cls.beta': _NOT_NEGATIVE,
    'loss_bbox.beta': _NOT_NEGATIVE,
    'model.loss_weight': _NOT_NEGATIVE.or_list(),
    'data_preprocessor.mean': _FINITE.or_list().or_none(),
    'data_preprocessor.std': _POSITIVE.or_list().or_none(),
    'pad_size_divisor': _COUNT,
    'anchor_generator.strides': _POSITIVE.or_list(),
    'anchor_generator.scales': _POSITIVE.or_list().or_none(),
    'anchor_generator.ratios': _POSITIVE.or_list(),
    'anchor_generator.octave_base_scale': _POSITIVE.or_none(),
    'anchor_generator.scales_per_octave': _COUNT_OR_NONE,
    'sampler.num': _COUNT,
    'sampler.pos_fraction': _SHARE,
    'assigner.pos_iou_thr': _SHARE,
    'assigner.neg_iou_thr': _SHARE.or_list(),
    'assigner.min_pos_iou': _SHARE,
    'test_cfg.score_thr': _FINITE,
    'test_cfg.nms_pre': _LIMIT,
    'test_cfg.max_per_img': _LIMIT,
    'rpn_proposal.nms_pre': _LIMIT,
    'rpn_proposal.max_per_img': _LIMIT,
    'nms.iou_threshold': _SHARE,
}  # fmt: skip


def check_values(content: Mapping[str, Any]) -> None:
    """Check every number of a config that the table knows, and the top level first.

    Args:
        content (dict): A config, with what was given by ``--cfg-options`` in it.

    Raises:
        ValueError: With the dotted place of the value, and what it may be.
    """
    # What a user gave as batch_size is named so, and not by one of the places it was carried to.
    ordered = sorted(content.items(), key=lambda item: isinstance(item[1], (Mapping, list, tuple)))
    for place, names, value in _values(dict(ordered)):
        rule = _rule(names)
        if rule is not None and not rule.holds(value):
            raise ValueError(f'{place} is {_short(value)}; it is {rule.sentence}{_hint(value)}')
        if rule is None and _has_nan(value):
            raise ValueError(f'{place} is {_short(value)}; nan is no number')
        if names[-1] == 'budget':
            _check_budget(place, value)
        if names[-1] == 'param_scheduler':
            _check_schedules(place, value)


def _check_budget(place: str, budget: Any) -> None:
    if budget is not None and not isinstance(budget, Mapping):
        raise ValueError(
            f'{place} is {_short(budget)}; it is a dictionary of ranges, such as '
            f'{place}.macs_m=[300,400]'
        )
    for key, bound in (budget or {}).items():
        if not str(key).startswith('_') and bound is not None and not _MILLIONS.holds(bound):
            sentence = _MILLIONS.sentence
            if key == 'latency_ms':
                sentence = sentence.replace('millions', 'milliseconds')
            raise ValueError(f'{place}.{key} is {_short(bound)}; it is {sentence}')


def _check_schedules(place: str, schedules: Any) -> None:
    for i, one in enumerate(schedules if isinstance(schedules, (list, tuple)) else [schedules]):
        if not isinstance(one, Mapping):
            continue
        begin, end = one.get('begin', 0), one.get('end', math.inf)
        if _TIME.holds(begin) and _TIME.holds(end) and begin >= end:
            where = f'{place}.{i}' if isinstance(schedules, (list, tuple)) else place
            raise ValueError(f'{where}.end is {end}; it is above begin, which is {begin}')


def _has_nan(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _rule(names: tuple[str, ...]) -> Rule | None:
    """The rule of the longest end of a place that the table knows."""
    return next(
        (rule for end in _ends(names) if (rule := RULES.get(end)) is not None),
        None,
    )


def _ends(names: tuple[str, ...]) -> Iterator[str]:
    """What a name may stand under, from the closest description to the name alone."""
    if len(names) == 1:
        yield f'.{names[0]}'
    for above in reversed(names[:-1]):
        yield f'{_PIPELINE.sub("pipeline", above)}.{names[-1]}'
    yield names[-1]


def _values(
    node: Any, place: str = '', names: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every entry of every dictionary below: its dotted place, the same without indices, value."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            inner = f'{place}.{key}' if place else str(key)
            yield inner, (*names, str(key)), value
            yield from _values(value, inner, (*names, str(key)))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _values(value, f'{place}.{i}', names)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def _hint(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return ', written without a point'
    if isinstance(value, str):
        return ', written without quotes' if _reads_as_number(value) else ''
    return ''


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

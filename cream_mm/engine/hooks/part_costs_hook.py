"""Says what the parts of a detector cost, before it is trained."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...environment import processor_name
from ...files import read_json, write_json
from ...files.part_costs_file import PARTS_FILE, PARTS_FORMAT
from ...registry import HOOKS
from ..distributed import unwrap
from ..part_costs import PARTS, count_parts, is_detector, on_median_path, size_of_tests, time_parts
from ..words import short_path

LARGE = 2.0  # neck and heads of more than so many backbones get a line
LIGHT_CONFIG = 'configs/detection/rtmdet-light_cream-287m_coco.py'
LIGHT_MACS_PER_PIXEL = 1729  # of its neck and head, with 80 classes


@HOOKS.register_module()
class PartCostsHook(Hook):
    """Multiply-adds of a detector's backbone, neck and heads, and how long an image takes here.

    Counted and measured once, on the main process, before the first step: WORK_DIR/part_costs.json.
    A run that goes on reads them there. In a search they are of the path in the middle of the
    budget. Of other models nothing is done; where a detector cannot be run on a single image of
    zeros, a line says so.
    """

    priority = 'VERY_LOW'  # after what the summary says of the data

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if not is_main_process() or not is_detector(model):
            return
        path = Path(runner.work_dir, PARTS_FILE)
        try:
            size = size_of_tests(runner.cfg)
            content = self._known(path, model, size)
            if content is None:
                content = costs_of(model, size)
                write_json(path, content)
        except Exception as error:  # of some model of somebody's: no reason not to train it
            runner.logger.warning(
                f'what the parts of {type(model).__name__} cost is not known: it cannot be run on '
                f'an image of zeros ({type(error).__name__}: {error})'
            )
            return
        first, *more = cost_lines(content)
        runner.logger.info(f'{first}; {short_path(path)}')
        for line in more:
            runner.logger.info(line)

    @staticmethod
    def _known(path: Path, model: torch.nn.Module, size: tuple[int, int]) -> dict | None:
        """What an earlier start of the same run has written."""
        if not path.is_file():
            return None
        try:
            content = read_json(path)
            is_same = content['num_params'] == sum(p.numel() for p in model.parameters())
            cost_lines(content)
        except (KeyError, TypeError, ValueError, OSError):
            return None
        return content if is_same and content['input_size'] == list(size) else None


def costs_of(
    model: torch.nn.Module, size: tuple[int, int], *, timed: bool = True
) -> dict[str, Any]:
    """What ``part_costs.json`` holds.

    Args:
        model (nn.Module): A detector of mmdet's.
        size (tuple[int, int]): Height and width of the image.
        timed (bool): Measure how long it takes, too. Defaults to True.

    Returns:
        dict: ``parts`` by name, the ``whole`` among them, with ``macs_m``, ``params_m`` and ``ms``
        (of the backbone and the whole; else None); ``arch`` of a search's path, else None.
    """
    with on_median_path(model) as arch:
        parts = count_parts(model, size)
        ms = time_parts(model, size) if timed else {}
    if arch is not None:
        shared = parts['backbone']['params_m']
        params = model.backbone.budget.cost_model.cost(arch).params / 1e6
        parts['backbone']['params_m'] = params
        parts['whole']['params_m'] += params - shared
    for name, part in parts.items():
        part['ms'] = ms.get(name)
    device = next(model.parameters()).device
    return dict(
        format=PARTS_FORMAT,
        detector=type(model).__name__,
        input_size=list(size),
        num_params=sum(p.numel() for p in model.parameters()),
        arch=None if arch is None else arch.to_list(),
        parts=parts,
        machine=dict(
            processor=torch.cuda.get_device_name(device)
            if device.type == 'cuda'
            else processor_name(),
            device=device.type,
            backend='torch',
            threads=torch.get_num_threads(),
        ),
    )


def cost_lines(content: dict) -> list[str]:
    """One line, and a second one where neck and heads cost far more than the backbone."""
    parts, (height, width) = content['parts'], content['input_size']
    told = [f'{name} {macs(parts[name]["macs_m"])}' for name in PARTS if parts[name]['macs_m']]
    line = f'one image of {height} x {width}: {", ".join(told)}'
    line += f' of {macs(parts["whole"]["macs_m"])} multiply-adds'
    if content['arch'] is not None:
        line += ', with the path in the middle of the budget'
    machine = content['machine']
    if parts['whole']['ms'] is not None:
        threads = f'{machine["threads"]} thread{"s" * (machine["threads"] != 1)}'
        where = threads if machine['device'] == 'cpu' else machine['processor']
        line += f'; {parts["whole"]["ms"]:.0f} ms, of which the backbone takes '
        line += f'{parts["backbone"]["ms"]:.0f} (PyTorch, {where})'
    rest = parts['neck']['macs_m'] + parts['heads']['macs_m']
    if rest <= LARGE * parts['backbone']['macs_m']:
        return [line]
    share = 100 * parts['backbone']['macs_m'] / parts['whole']['macs_m']
    light = LIGHT_MACS_PER_PIXEL * height * width / 1e6
    what = 'neck and heads cost' if parts['neck']['macs_m'] else 'the heads cost'
    second = (
        f'{what} {macs(rest)} of {macs(parts["whole"]["macs_m"])} multiply-adds: a cheaper '
        f'backbone saves at most {share:.0f} %'
    )
    if light < rest / 2:
        second += f'. Those of {LIGHT_CONFIG} cost {macs(light)} at this size'
    return [line, second]


def macs(millions: float) -> str:
    """558 M, 15.6 G"""
    if millions >= 999.5:
        return f'{millions / 1e3:.1f} G'
    return f'{millions:.0f} M' if millions >= 10 else f'{millions:.1f} M'

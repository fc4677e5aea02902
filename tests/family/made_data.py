"""Sets and runs small enough for the family's own tools, which all run in this process."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('ball', 'box')


def write_coco(root):
    """Four training and two test images of 64 x 64 with a bright box of either class, outlined."""
    (root / 'annotations').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (('train2017', 4), ('val2017', 2)):
        (root / split).mkdir()
        content = dict(images=[], annotations=[])
        content['categories'] = [dict(id=2 + 3 * i, name=name) for i, name in enumerate(CLASSES)]
        for i in range(count):
            pixels = rng.integers(0, 90, (64, 64, 3), dtype=np.uint8)
            for k, (x, y, w, h) in enumerate([(2, 4, 34, 36), (20, 24, 40, 36)]):
                pixels[y : y + h, x : x + w, k] += 150
                content['annotations'].append(
                    dict(id=2 * i + k + 1, image_id=i, category_id=2 + 3 * k, bbox=[x, y, w, h],
                         area=w * h, iscrowd=0,
                         segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]])
                )  # fmt: skip
            Image.fromarray(pixels).save(root / split / f'{i}.jpg')
            content['images'].append(dict(id=i, file_name=f'{i}.jpg', width=64, height=64))
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return root


def shrink(node, side=64):
    """Every image size of a config, in place; those of twice another one stay twice as large."""
    if isinstance(node, dict):
        for key, value in node.items():
            sizes = key in ('scale', 'img_scale', 'crop_size', 'size', 'random_size_range')
            if sizes and isinstance(value, (list, tuple)) and not isinstance(value[0], (dict, str)):
                node[key] = (2 * side, 2 * side) if min(value) > 1000 else (side, side)
            else:
                shrink(value, side)
    elif isinstance(node, (list, tuple)):
        for value in node:
            shrink(value, side)


def run_tool(tool, *args):
    """Run a command line in this process, as ``python TOOL ARGS``; in the default scope it wants.

    Raises:
        SystemExit: If the tool ends with an error.
    """
    before = sys.argv
    for cls in (DefaultScope, Visualizer, *Visualizer.__subclasses__()):
        cls._instance_dict.clear()  # of a tool before: a process of its own would have none
    sys.argv = [str(tool), *map(str, args)]
    sys.path.insert(0, str(Path(tool).parent))
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before
        sys.path.remove(str(Path(tool).parent))


def their(package, *parts):
    """A file that mmdet or mmpretrain ships beside its code: tools and configs."""
    module = __import__(package)
    return Path(os.path.dirname(module.__file__), '.mim', *parts)

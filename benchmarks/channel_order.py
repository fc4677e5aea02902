"""Which channels are cut off first: rules of ElasticSupernet on photographs, before any training.

    python benchmarks/channel_order.py data/clothing --json docs/results/channel_order.json

EfficientNet-Lite0 with ImageNet weights is fine-tuned on ``train`` (last layer, then all; AdamW,
cosine), or comes fine-tuned (``--checkpoint``). Its channels are sorted by each rule, and the same
paths, sliced and not trained, are rated on images of ``val``, with BN measured for each path on
images of ``train``. Needs the package of the weights.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from cream_mm.models import CreamNet, ElasticSupernet
from cream_mm.models.backbones.pretrained import load_backbone
from cream_mm.models.layers.bn_policy import recalibrated
from cream_mm.models.supernets.channel_order import IMPORTANCE
from cream_mm.structures import Arch
from cream_mm.structures.randomness import named_rng

NUM_PATHS, SHARES = 10, (0.35, 0.85)  # of the full network's MACs, as a search draws them
NUM_BN = 256
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('data', type=Path, help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg')
    parser.add_argument('--checkpoint', help='of a fine-tuned Lite0; its last layer is fitted anew')
    parser.add_argument('--epochs', type=int, default=2, help='of fine-tuning all layers')
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    parser.add_argument('--images', type=int, default=10_000, help='of val, at most')
    parser.add_argument('--json', type=Path, help='where the figures go')
    args = parser.parse_args()
    torch.manual_seed(0)
    start = time.process_time()
    train = load(args.data / 'train', args.size)
    test = [part[: args.images] for part in load(args.data / 'val', args.size)]
    print(f'{len(train[1])} and {len(test[1])} images', flush=True)
    num_classes = int(train[1].max()) + 1
    backbone = CreamNet('lite0')
    load_backbone(backbone, args.checkpoint or 'lite0')
    head = nn.Linear(backbone.out_channels[-1], num_classes)
    model = nn.Sequential(backbone, LastMap(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    fit_last_layer(model, *train)
    if not args.checkpoint:
        fine_tune(model, *train, args.epochs)
    print(f'fine-tuned, {time.process_time() - start:.0f} CPU s', flush=True)
    supernet = ElasticSupernet(
        'lite0', costs=dict(input_size=args.size, num_classes=num_classes)
    ).eval()
    fit = train[0][torch.randperm(len(train[0]), generator=generator(1))[:NUM_BN]]
    rows = []
    for kind, arch in paths(supernet):
        for rule in IMPORTANCE:
            supernet.load_state_dict(backbone.state_dict())
            supernet.sort_channels(rule)
            loss, top1 = rate(supernet, model[1:], arch, fit, *test)
            share = share_of(supernet, arch)
            rows.append(dict(rule=rule, kind=kind, share=share, loss=loss, top1=top1))
            print(f'{kind:12} {share:5.3f} {rule:12} {loss:6.3f} {top1:5.1f}', flush=True)
    print(f'{time.process_time() - start:.0f} CPU s')
    if args.json:
        images = [len(train[1]), len(test[1])]
        record = dict(images=images, size=args.size, bn_images=NUM_BN, rows=rows)
        args.json.write_text(json.dumps(record, indent=1) + '\n')


def load(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """Images (N, 3, size, size), as Lite0 takes them, and classes (N,), shuffled."""
    images, labels = [], []
    for label, part in enumerate(sorted(folder.iterdir())):
        for file in sorted(part.iterdir()):
            image = Image.open(file).convert('RGB')
            scale = size / min(image.size)
            image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            images.append(np.asarray(image.crop((left, top, left + size, top + size))))
            labels.append(label)
    order = torch.randperm(len(labels), generator=generator(0))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return ((pixels.float() - 127) / 128)[order], torch.tensor(labels)[order]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class LastMap(nn.Module):
    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        return maps[-1]


def fit_last_layer(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """By the features of whole images, until it hardly moves."""
    layer = model[-1]
    with torch.no_grad():
        features = torch.cat([model[:-1](x) for x in images.split(BATCH)])
    optimizer = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(layer(features), labels).backward()
        optimizer.step()


def fine_tune(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """All layers: flips and shifts, AdamW, cosine, label smoothing."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.02)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-4, steps, pct_start=0.2)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator(epoch + 2))
        for i, batch in enumerate(order.split(BATCH)):
            if len(batch) < BATCH:
                break
            x = images[batch]
            x = x.flip(-1) if i % 2 else x
            x = torch.roll(F.pad(x, (8, 8, 8, 8), mode='reflect'), (i % 9, i % 7), (2, 3))
            optimizer.zero_grad()
            x = x[..., 8 : 8 + images.shape[2], 8 : 8 + images.shape[3]]
            F.cross_entropy(model(x), labels[batch], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def share_of(supernet: ElasticSupernet, arch: Arch) -> float:
    cost = supernet.budget.cost_model.cost
    return cost(arch).macs / cost(supernet.space.full_path).macs


def paths(supernet: ElasticSupernet) -> list[tuple[str, Arch]]:
    """(what it is, path): one expansion in all layers, and drawn ones."""
    space = supernet.space
    found = []
    for expansion in (4, 3, 2):
        flat = []
        for position in range(len(space.sizes)):
            choices = space.choices_at(position)
            flat.append(choices.index((choices[0][0], expansion)))
        found.append((f'expansion {expansion}', space.decode(flat)))
    rng = named_rng('channel order', 0, 0)
    while len(found) < NUM_PATHS + 3:
        arch = space.sample(rng)
        if SHARES[0] <= share_of(supernet, arch) <= SHARES[1]:
            found.append((f'drawn {len(found) - 2}', arch))
    return found


@torch.no_grad()
def rate(
    supernet: ElasticSupernet, head: nn.Module, arch: Arch, fit: Tensor, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """Cross entropy, and top-1 in percent."""
    supernet.set_arch(arch)

    def run(images: Tensor) -> Tensor:
        return torch.cat([head(supernet(batch)) for batch in images.split(BATCH)])

    with recalibrated(supernet.path_modules(), lambda: run(fit)):
        out = run(x)
    return float(F.cross_entropy(out, y)), 100 * float((out.argmax(1) == y).float().mean())


if __name__ == '__main__':
    main()

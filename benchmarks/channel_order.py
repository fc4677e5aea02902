"""Which channels are cut off first: rules of ElasticSupernet on photographs, before any training.

    python benchmarks/channel_order.py data/clothing --json docs/results/channel_order.json

EfficientNet-Lite0 with ImageNet weights is given a new last layer, and fine-tuned on ``train``
(AdamW, cosine; ``--epochs 0``: the last layer alone). Then its channels are sorted by each rule,
and the same paths, sliced and not trained, are rated on the images of ``val``, with BN measured
for each path on images of ``train``. Needs the package of the weights.
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

from cream_mm import create_model
from cream_mm.models import ElasticSupernet
from cream_mm.models.eval_mode import eval_mode
from cream_mm.models.layers.bn_policy import recalibrated
from cream_mm.models.supernets.channel_order import IMPORTANCE
from cream_mm.structures import Arch
from cream_mm.structures.randomness import named_rng

NUM_PATHS, SHARES = 10, (0.35, 0.85)  # of the full network's MACs, as a search draws them
NUM_BN = 512
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('data', type=Path, help='folder with train/CLASS/*.jpg and val/CLASS/*.jpg')
    parser.add_argument('--epochs', type=int, default=2, help='of fine-tuning all layers')
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    parser.add_argument('--json', type=Path, help='where the figures go')
    args = parser.parse_args()
    torch.manual_seed(0)
    start = time.time()
    train, test = (load(args.data / part, args.size) for part in ('train', 'val'))
    print(f'{len(train[1])} and {len(test[1])} images, {time.time() - start:.0f} s', flush=True)
    num_classes = int(train[1].max()) + 1
    model = create_model('lite0', num_classes=num_classes, pretrained=True)
    fit_last_layer(model, *train)
    if args.epochs:
        fine_tune(model, *train, args.epochs)
    print(f'fine-tuned, {time.time() - start:.0f} s', flush=True)
    supernet = ElasticSupernet(
        'lite0', costs=dict(input_size=args.size, num_classes=num_classes)
    ).eval()
    fit = train[0][torch.randperm(len(train[0]), generator=generator(1))[:NUM_BN]]
    archs, rows = paths(supernet), []
    for rule in ('none', *(rule for rule in IMPORTANCE if rule != 'none')):
        supernet.load_state_dict(model.backbone.state_dict())
        supernet.sort_channels(rule)
        for kind, arch in archs:
            loss, top1 = rate(supernet, model.head, arch, fit, *test)
            share = share_of(supernet, arch)
            rows.append(dict(rule=rule, kind=kind, share=share, loss=loss, top1=top1))
            print(f'{rule:12} {kind:12} {share:5.3f} {loss:6.3f} {top1:5.1f}', flush=True)
    print(f'{time.time() - start:.0f} s')
    if args.json:
        args.json.write_text(json.dumps(dict(epochs=args.epochs, size=args.size, rows=rows)))


def load(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """Images (N, 3, size, size), as Lite0 takes them, and classes (N,)."""
    images, labels = [], []
    for label, part in enumerate(sorted(folder.iterdir())):
        for file in sorted(part.iterdir()):
            image = Image.open(file).convert('RGB')
            scale = size / min(image.size)
            image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            images.append(np.asarray(image.crop((left, top, left + size, top + size))))
            labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return (pixels.float() - 127) / 128, torch.tensor(labels)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(model: nn.Module, x: Tensor) -> Tensor:
    return model.head(model.backbone(x))


def fit_last_layer(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """By the features of whole images, until it hardly moves."""
    layer, kept = model.head.classifier, []
    hook = layer.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with eval_mode(model), torch.no_grad():
        for x in images.split(BATCH):
            logits(model, x)
    hook.remove()
    features = torch.cat(kept)
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
            F.cross_entropy(logits(model, x), labels[batch], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def share_of(supernet: ElasticSupernet, arch: Arch) -> float:
    cost = supernet.budget.cost_model.cost
    return cost(arch).macs / cost(supernet.space.full_path).macs


def paths(supernet: ElasticSupernet) -> list[tuple[str, Arch]]:
    """(what it is, path): the full one, one expansion in all layers, and drawn ones."""
    space = supernet.space
    found = [('full', space.full_path)]
    for expansion in (4, 3, 2):
        flat = []
        for position in range(len(space.sizes)):
            choices = space.choices_at(position)
            flat.append(choices.index((choices[0][0], expansion)))
        found.append((f'expansion {expansion}', space.decode(flat)))
    rng = named_rng('channel order', 0, 0)
    while len(found) < NUM_PATHS + 4:
        arch = space.sample(rng)
        if SHARES[0] <= share_of(supernet, arch) <= SHARES[1]:
            found.append((f'drawn {len(found) - 3}', arch))
    return found


@torch.no_grad()
def rate(
    supernet: ElasticSupernet, head: nn.Module, arch: Arch, fit: Tensor, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """Cross entropy, and top-1 in percent."""
    supernet.set_arch(arch)
    modules = [*supernet.path_modules(), *head.modules()]

    def run(images: Tensor) -> Tensor:
        return torch.cat([head(supernet(batch)) for batch in images.split(BATCH)])

    with recalibrated(modules, lambda: run(fit)):
        out = run(x)
    return float(F.cross_entropy(out, y)), 100 * float((out.argmax(1) == y).float().mean())


if __name__ == '__main__':
    main()

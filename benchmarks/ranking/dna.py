"""Does block-wise distillation (DNA) rank networks as training each alone does? NAS-Bench-Macro.

  python benchmarks/ranking/dna.py               # 3 seeds, 35 minutes of one core each
  python benchmarks/ranking/dna.py --report      # docs/results/dna.md from the records alone
  python benchmarks/ranking/dna.py --pilot       # how the learning rate was chosen; 4 minutes
  python benchmarks/ranking/dna.py --variants    # rates the trained blocks in other ways, too
  python benchmarks/ranking/dna.py --seeds 0 --batch-stats   # another search; 15 minutes

For each seed: trains the costliest network of the space alone (configs/ranking/teacher.py), then
the three blocks of a supernet against its maps (configs/ranking/dna.py), and rates the 9 + 27 + 27
candidates of the blocks. A network's score is the sum of the ratings of its blocks. The seed is
that of the teacher, of the student and of the images.

Both trainings see the images of `run.py --setting cpu`, and need what it needs. They go on after a
kill. When a seed is done, its record is written to docs/results/dna.json; a seed that stands there
is not made again. No true accuracy takes part in a training or a rating.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope
from run import FIRST, ROOT, image_folder, prepare, read_usage, run_tool  # beside this file

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.files import write_json
from cream_mm.files.path_log import PATH_LOG

FORMAT = 'cream_mm.dna_ranking/1'
CONFIGS = {name: ROOT / f'configs/ranking/{name}.py' for name in ('teacher', 'dna')}
EPOCHS = 7
TEACHER_WEIGHTS = 'model.teacher.backbone.init_cfg.checkpoint'
# Of the pilot: (first learning rate, schedule). 'decay': by a constant factor a step to 0.12 of the
# first, where 20 epochs of x0.9 end; the config goes there epoch by epoch. 'cosine': as spos.py.
PILOT = ((0.002, 'decay'), (0.005, 'decay'), (0.01, 'decay'), (0.005, 'cosine'))
PILOT_SEED, PILOT_STEPS = 100, 200


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/dna.json')
    parser.add_argument('--teachers', action='store_true', help='train the teachers and stop')
    parser.add_argument('--pilot', action='store_true', help='choose the learning rate')
    parser.add_argument('--variants', action='store_true', help='rate in other ways, too')
    parser.add_argument('--batch-stats', action='store_true', help='train a search with the '
                        "teacher's norms in batch statistics as well, as the released code has "
                        'them')  # fmt: skip
    parser.add_argument('--report', action='store_true', help='run nothing')
    args = parser.parse_args(argv)
    args.setting, args.naswot = 'cpu', ROOT / 'docs/results/naswot.json'
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    if args.pilot:
        content = read_records(args.records)
        content['pilot'] = pilot(args)
        write_json(args.records, content)
        return
    if args.variants or args.batch_stats:
        for seed in args.seeds:
            found = variants(args, seed) if args.variants else batch_stats(args, seed)
            content = read_records(args.records)
            for run in content['runs']:
                if run['seed'] == seed:
                    run.setdefault('variants', {}).update(found)
            write_json(args.records, content)
    known = {run['seed'] for run in read_records(args.records)['runs']}
    missing = (
        []
        if args.report or args.variants or args.batch_stats
        else [seed for seed in args.seeds if seed not in known]
    )
    if missing:
        print(f'{len(known)} seeds are in {args.records}; to be made: {missing}', flush=True)
        prepare(args)
    for seed in missing:
        teacher = train_teacher(args, seed)
        if args.teachers:
            continue
        record = search(args, seed, teacher)
        content = read_records(args.records)  # another process may have added a seed
        content['runs'] = sorted([*content['runs'], record], key=lambda run: run['seed'])
        write_json(args.records, content)
        print(f'seed {seed}: rated, in {args.records}', flush=True)
    if not args.teachers:
        from dna_report import write_report  # beside this file

        write_report(args)


def read_records(path: Path) -> dict:
    """What docs/results/dna.json holds; empty where there is no file."""
    if not path.is_file():
        return dict(format=FORMAT, pilot=None, runs=[])
    content = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is not of format {FORMAT}')
    return content


# ---- runs ----------------------------------------------------------------------------------------


def train(args, name: str, seed: int, *options: str, folder: str | None = None) -> Path:
    """Train a config of this folder, or go on with it; its work_dir."""
    folder = args.work_dir / f'dna-{seed}' / (folder or name)
    command = [str(ROOT / 'tools/train.py'), str(CONFIGS[name]), '--resume',
               '--work-dir', str(folder), '--cfg-options', f'randomness.seed={seed}',
               f'data_root={image_folder(args)}', *options]  # fmt: skip
    run_tool(command, folder)
    return folder


def train_teacher(args, seed: int) -> Path:
    folder = args.work_dir / f'dna-{seed}/teacher'
    if not (folder / f'epoch_{EPOCHS}.pth').is_file() or test_top1(folder) is None:
        train(args, 'teacher', seed)
    print(f'seed {seed}: teacher, top-1 {test_top1(folder):.2f} %', flush=True)
    return folder


def test_top1(folder: Path) -> float | None:
    """Of the last validation in the logs of a training."""
    found = None
    for log in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            found = json.loads(line).get('accuracy/top1', found)
    return found


def search(args, seed: int, teacher: Path) -> dict:
    """Train the blocks against the teacher, rate their candidates; the record."""
    folder = args.work_dir / f'dna-{seed}/dna'
    if not (folder / 'block_ratings.json').is_file():
        weights = teacher / f'epoch_{EPOCHS}.pth'
        train(args, 'dna', seed, f'{TEACHER_WEIGHTS}={weights}')
    content = json.loads((folder / 'block_ratings.json').read_text())
    lines = [json.loads(line) for line in (folder / PATH_LOG).read_text().splitlines()]
    steps = [line['losses'] for line in lines]
    usage = dict(teacher=read_usage(teacher), search=read_usage(folder))
    length, cfg = len(steps) // EPOCHS, load_config(str(CONFIGS['dna']), {}, check_data=False)
    return dict(
        seed=seed,
        images_seen=len(steps) * cfg.train_dataloader.batch_size,
        teacher_top1=test_top1(teacher),
        cpu_s={name: used['train']['cpu_s'] for name, used in usage.items()},
        peak_mb={name: used['train']['peak_mb'] for name, used in usage.items()},
        first_losses=[round(sum(losses.values()), 5) for losses in steps[:FIRST]],
        optimizer=dict(cfg.optim_wrapper.optimizer),
        about={k: v for k, v in content.items() if k not in ('format', 'space', 'blocks')},
        train_loss={
            name: [
                round(sum(s[name] for s in steps[i * length : (i + 1) * length]) / length, 6)
                for i in range(EPOCHS)
            ]
            for name in steps[0]
        },
        ratings=[block['cells'][0]['ratings'] for block in content['blocks']],
        variants=by_training(lines),
    )


def by_training(lines: list[dict]) -> dict[str, list[list[float]]]:
    """Ratings that the training has made on its way, of the last two thirds of the steps.

    A step's loss in a block, in units of the mean of its epoch-long neighbourhood, says how good
    its candidate is: by candidate the mean, and the sum of effects of its layers' choices.
    """
    lines = lines[len(lines) // 3 :]
    found = {'training loss': [], 'training loss, effects of choices': []}
    for block, name in enumerate(lines[0]['losses']):
        losses = np.array([line['losses'][name] for line in lines])
        width = min(len(losses) // 4, 191)
        near = np.convolve(losses, np.ones(2 * width + 1), 'same')
        near /= np.convolve(np.ones_like(losses), np.ones(2 * width + 1), 'same')
        losses /= near
        paths = [tuple(line['arch'][block]) for line in lines]
        candidates = list(product(range(3), repeat=len(paths[0])))
        rows = {c: [x for x, path in zip(losses, paths) if path == c] for c in candidates}
        found['training loss'].append([float(np.mean(rows[c])) if rows[c] else 1.0
                                       for c in candidates])  # fmt: skip
        x, y = (
            np.array([[c == choice for c in path for choice in range(3)] for path in some], float)
            for some in (paths, candidates)
        )
        weights, *_ = np.linalg.lstsq(x, losses, rcond=None)
        found['training loss, effects of choices'].append((y @ weights).tolist())
    return found


def batch_stats(args, seed: int) -> dict[str, list[list[float]]]:
    """Ratings of another search, whose teacher normalises by the statistics of each batch."""
    folder = args.work_dir / f'dna-{seed}/dna_batch_stats'
    if not (folder / 'block_ratings.json').is_file():
        weights = args.work_dir / f'dna-{seed}/teacher/epoch_{EPOCHS}.pth'
        options = (f'{TEACHER_WEIGHTS}={weights}', 'model.teacher.mode=batch_stats')
        train(args, 'dna', seed, *options, folder=folder.name)
    content = json.loads((folder / 'block_ratings.json').read_text())
    ratings = [block['cells'][0]['ratings'] for block in content['blocks']]
    return {'another search, teacher in batch statistics': ratings}


def variants(args, seed: int) -> dict[str, list[list[float]]]:
    """Ratings of the blocks of a seed by other measures and other batch norm statistics.

    Images are those of the search's own ratings.
    """
    from mmengine.runner.checkpoint import load_checkpoint

    from cream_mm.evaluation.shared_prefix import SharedPrefix
    from cream_mm.methods.dna.block_rating import BlockRating, relative_l1

    torch.set_num_threads(1)
    folders = {name: args.work_dir / f'dna-{seed}' / name for name in CONFIGS}
    weights = folders['teacher'] / f'epoch_{EPOCHS}.pth'
    options = {TEACHER_WEIGHTS: str(weights), 'data_root': str(image_folder(args))}
    cfg = load_config(str(CONFIGS['dna']), options)
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model).eval()
    classifier = MODELS.build(load_config(str(CONFIGS['teacher']), check_data=False).model).eval()
    load_checkpoint(classifier, str(weights), map_location='cpu')
    held_out = DATASETS.build(cfg.test_dataloader.dataset)
    bn_set = DATASETS.build(cfg.test_cfg.bn_dataset)
    numbers = dict(num_images=cfg.test_cfg.num_images, num_bn_images=cfg.test_cfg.num_bn_images)
    space, found = model.backbone.space, {}
    with torch.no_grad():
        for epoch in (1, 3, EPOCHS):
            load_checkpoint(model, str(folders['dna'] / f'epoch_{epoch}.pth'), map_location='cpu')
            rating = BlockRating(model, held_out, bn_set, seed=seed, **numbers)
            images, bn_images = (
                list(rating._images(b)) for b in (rating.batches, rating.bn_batches)
            )
            maps, bn_maps = ([model.teacher(x) for x in part] for part in (images, bn_images))
            last = epoch == EPOCHS
            for bn in ('recalibrated', 'batch statistics')[: 1 + last]:
                measures = MEASURES if last and bn == 'recalibrated' else {}
                for block in range(space.num_blocks):
                    inputs = [m[block - 1] for m in maps] if block else images
                    bn_inputs = [m[block - 1] for m in bn_maps] if block else bn_images
                    targets = [m[block] for m in maps]
                    layers = [model.backbone.cell_layers(block, 0, c)
                              for c in space.candidates(block, 0)]  # fmt: skip
                    shared = SharedPrefix(
                        layers, inputs, bn_inputs if bn == 'recalibrated' else None, 2**32
                    )
                    rows = {f'{bn}, after {epoch} epochs': [], **{k: [] for k in measures}}
                    if measures:
                        ends = [behind(classifier, block, t) for t in targets]
                        rows.update({name: [] for name in BEHIND})
                    for i in range(len(layers)):
                        given = shared[i]
                        rows[f'{bn}, after {epoch} epochs'].append(relative_l1(given, targets))
                        y, t = torch.cat(given), torch.cat(targets)
                        for name, measure in measures.items():
                            rows[name].append(float(measure(y, t)))
                        if measures:
                            pairs = zip(*(behind(classifier, block, y) for y in given))
                            for name, y, t, measure in zip(
                                BEHIND, pairs, zip(*ends), (relative_l1, divergence)
                            ):
                                rows[name].append(measure(y, t))
                    for name, values in rows.items():
                        found.setdefault(name, []).append(values)
            print(f'seed {seed}: rated in other ways after {epoch} epochs', flush=True)
    return found


BEHIND = (
    "the teacher's later blocks on it: relative L1 of the last map",
    "the teacher's later blocks on it: divergence of the answers",
)


def behind(classifier, block: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Last map and logits of a network that has ``x`` behind its block, from 0."""
    for later in classifier.backbone.blocks[block + 2 : 4]:  # the first has no layer here
        x = later(x)
    return x, classifier.head((classifier.backbone.blocks[4](x),))


def divergence(given, targets) -> float:
    """Mean Kullback-Leibler divergence of answers from the teacher's; batches (N, classes)."""
    given, targets = (torch.cat(list(logits)).log_softmax(1) for logits in (given, targets))
    return float(torch.nn.functional.kl_div(given, targets, reduction='batchmean', log_target=True))


MEASURES = {
    'squared error': lambda y, t: (y - t).square().mean(),
    'squared error / variance': lambda y, t: (y - t).square().mean() / t.var(),
    'squared error / variance of each channel': lambda y, t: (
        (y - t).square().mean((0, 2, 3)) / (t.var((0, 2, 3)) + 1e-9)
    ).mean(),
    'relative L1 of the means over the map': lambda y, t: (
        (y.mean((2, 3)) - t.mean((2, 3))).abs().mean() / t.mean((2, 3)).std()
    ),
    'relative L1 behind a ReLU': lambda y, t: (y.relu() - t.relu()).abs().mean() / t.relu().std(),
}


# ---- how the learning rate was chosen ------------------------------------------------------------


def pilot(args) -> dict:
    """Short trainings on another seed, all on the same images and paths; rated on the hold-out.

    Each goes through its whole schedule in the steps there are.

    Returns:
        dict: By setting the mean over paths of relative L1 and of the loss, of each block.
    """
    from cream_mm.methods.dna.block_rating import relative_l1
    from cream_mm.methods.dna.dna import block_loss
    from cream_mm.structures.randomness import named_rng

    torch.set_num_threads(1)
    begin = time.process_time()
    weights = args.work_dir / f'dna-0/teacher/epoch_{EPOCHS}.pth'
    options = {TEACHER_WEIGHTS: str(weights), 'data_root': str(image_folder(args))}
    cfg = load_config(str(CONFIGS['dna']), options)
    init_default_scope('mmpretrain')
    torch.manual_seed(PILOT_SEED)
    model = MODELS.build(cfg.model)
    names = [f'{lr} {schedule}' for lr, schedule in PILOT]
    students = {name: MODELS.build(cfg.model).backbone.train() for name in names}
    optimizers = {}
    for name, (lr, _) in zip(names, PILOT):
        students[name].load_state_dict(students[names[0]].state_dict())
        decayed = [p for p in students[name].parameters() if p.ndim > 1]
        plain = [p for p in students[name].parameters() if p.ndim <= 1]
        groups = [dict(params=decayed, weight_decay=1e-4), dict(params=plain, weight_decay=0.0)]
        optimizers[name] = torch.optim.Adam(groups, lr=lr)
    space, rng = model.backbone.space, named_rng('dna_pilot', PILOT_SEED, 0)
    train_set, held_out = (
        DATASETS.build(c.dataset) for c in (cfg.train_dataloader, cfg.test_dataloader)
    )

    def batch(dataset, indices):
        items = [dataset[int(i)] for i in indices]
        data = dict(inputs=[item['inputs'] for item in items],
                    data_samples=[item['data_samples'] for item in items])  # fmt: skip
        images = model.data_preprocessor(data, False)['inputs']
        return images, model.teacher(images)

    def draw():
        return space.decode(rng.integers(3, size=len(space.sizes)).tolist())

    def outputs(student, images, targets):
        for block, target in enumerate(targets):
            before = targets[block - 1] if block else student.stem(images)
            yield student.forward_cell(block, 0, before), target

    order = rng.permutation(len(train_set))
    for step in range(PILOT_STEPS):
        images, targets = batch(train_set, order[step * 128 : (step + 1) * 128])
        arch = draw()
        for name, (lr, schedule) in zip(names, PILOT):
            factor = factor_of(schedule, step / PILOT_STEPS)
            for group in optimizers[name].param_groups:
                group['lr'] = lr * factor
            students[name].set_arch(arch)
            loss = sum(block_loss(y, t) for y, t in outputs(students[name], images, targets))
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
        if step % 25 == 0:
            print(f'step {step}, {time.process_time() - begin:.0f} CPU seconds', flush=True)

    archs, found = [draw() for _ in range(12)], {}
    chosen = rng.permutation(len(held_out))[:512]
    batches = [batch(held_out, part) for part in (chosen[:256], chosen[256:])]
    with torch.no_grad():  # in training mode: batch norm by the statistics of the batch
        for name, student in students.items():
            l1, mse = [], []
            for arch in archs:
                student.set_arch(arch)
                pairs = [list(outputs(student, *b)) for b in batches]
                for block in zip(*pairs):
                    l1.append(relative_l1(*zip(*block)))
                    mse.append(sum(float(block_loss(y, t)) for y, t in block) / len(block))
            l1, mse = (torch.tensor(x).view(len(archs), -1).mean(0).tolist() for x in (l1, mse))
            found[name] = dict(relative_l1=l1, loss=mse, mean_relative_l1=sum(l1) / len(l1))
            print(name, found[name], flush=True)
    return dict(seed=PILOT_SEED, steps=PILOT_STEPS, teacher='seed 0', settings=found,
                cpu_s=round(time.process_time() - begin, 1))  # fmt: skip


def factor_of(schedule: str, share: float) -> float:
    """Of the learning rate when ``share`` of the training is done."""
    if schedule == 'decay':
        return 0.12**share
    warmup = 0.125 / EPOCHS
    if share < warmup:
        return 0.01 + 0.99 * share / warmup
    return (1 + float(torch.cos(torch.tensor(torch.pi * (share - warmup) / (1 - warmup))))) / 2


if __name__ == '__main__':
    with one_line_errors():
        main()

"""docs/results/photos.md from the records of photos.py."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from photos import SEARCHES, SETTINGS, USUAL

from cream_mm.apis.compare_record import difference
from cream_mm.evaluation.paired import Interval
from cream_mm.files import write_whole

MARGIN = 1.0  # points of top-1: "not worse by more than"
POINTS = ' points'
AIM = 1.0  # points over the best of the usual means, at AIM_AT of the cost
AIM_AT = '50'
SCALED_UP = ('cifar10',)  # a smaller input size loses nothing there, and makes no claim
MARK = '<!-- What stands below this line is kept as it is. -->'
INTRO = """\
# A search on photographs beside the usual means

Does a search that starts from ImageNet weights find a better network than what anybody can do
without one: smaller images, fewer channels, fewer layers? `configs/photos/search.py` runs on the
training images of each fold; then every network of the tables is trained for 12 epochs by the
exported `retrain.py`, with the same distillation from the fine-tuned EfficientNet-Lite0. Nothing
was chosen by the images of a fold that are tested; the last epoch counts.

```
python benchmarks/photos.py --all
python benchmarks/photos.py --set cifar10 --all
python benchmarks/photos.py --times
python benchmarks/photos.py --page
```

Shares are of the MACs of Lite0 at the full image size. Differences are paired, image by image,
pooled over the folds, with their 95 % interval; where it holds zero the page says "not decided". It
is the interval of the choice of images: another training of the same network would differ, too.

Found, narrower, shallower and random paths start from slices of the trained supernet, so that they
differ in the choice alone. Lite0 at any image size starts from the search's `full.pth`; in all
folds of clothing that is what the training of the slices left, so that it was trained as long as
they were. Of two smaller image sizes the hold-out of the search took the better one; it may cost up
to 3.5 % of Lite0 more than the share, as a size cannot be chosen more finely. "Teacher" is Lite0 as
the search left it; it was not trained on. Minutes are those of two cores that two trainings may
have shared; CPU seconds stand in the records, `photos.jsonl`."""
ABOUT = dict(
    clothing="""\
`data/clothing`, 3,781 photographs of 10 classes (train, val and test pooled), 3 stratified folds,
128 pixels.""",
    cifar10="""\
CIFAR-10, 3,000 images of its training set, all 10,000 of its test set, scaled up from 32 to 96
pixels; one fold. The input size is fixed: a picture that was scaled up loses nothing at a smaller
size, so that row makes no claim.""",
)
WORDS = {
    'teacher': 'Lite0 as the search fine-tuned it (teacher)',
    'full': 'Lite0, trained on like all others',
    'found': '**found**',
    'lower-size': 'Lite0 on smaller images',
    'narrower': 'Lite0, uniformly narrower',
    'shallower': 'Lite0 with fewer layers',
    'random-1': 'random path',
    'random-2': 'another random path',
    'scratch': 'found at the lowest share, from random weights, 60 epochs',
    'mobilenet-v2': 'MobileNetV2 off the shelf',
    'linear-probe': 'linear classifier on features of Lite0, ImageNet weights',
    'untrained': 'found by the search without training of slices',
}
Key = tuple[str, int, str]


def write_page(records: Mapping[Key, dict], out: Path) -> Path:
    """Write ``out/photos.md``; what a person wrote below its mark stays."""
    path = out / 'photos.md'
    kept = path.read_text().partition(MARK)[2] if path.is_file() else '\n'
    times = out / 'photos_times.json'
    latency = json.loads(times.read_text()) if times.is_file() else {}
    text = '\n'.join(page(records, latency)).rstrip('\n')
    write_whole(path, f'{text}\n\n{MARK}{kept}'.encode())
    return path


def page(records: Mapping[Key, dict], latency: Mapping[str, dict]) -> Iterator[str]:
    """Lines of the page."""
    yield INTRO
    for name, setting in SETTINGS.items():
        mine = {(fold, run): r for (of, fold, run), r in records.items() if of == name}
        total, there = len(setting.runs()), sum(run in mine for run in setting.runs())
        yield from ('', f'## {name}', '', ABOUT[name], '')
        if not mine:
            yield 'No run has ended yet.'
            continue
        if there < total:
            yield f'{there} of {total} runs are there; what is missing is left out below.'
            yield ''
        for share in setting.shares:
            yield from _share(name, mine, share, latency)
        yield from _extras(name, mine, setting.extras)
        yield from _searches(mine)


def pooled(records: Mapping[tuple[int, str], dict], names: Sequence[str]) -> list[int]:
    """Folds in which all of these networks have a record."""
    folds = sorted({fold for fold, _ in records})
    return [fold for fold in folds if all((fold, name) in records for name in names)]


def told(interval: Interval, digits: int = 1, unit: str = '') -> str:
    """``+0.4 [-1.1, +1.9], not decided``"""
    mean, low, high = (f'{value:+.{digits}f}' for value in interval)
    text = f'{mean}{unit} [{low}, {high}]'
    return f'{text}, not decided' if interval.holds_zero else text


def _share(name: str, records: Mapping, share: float, latency: Mapping) -> Iterator[str]:
    percent = f'{100 * share:g}'
    kinds = SETTINGS[name].kinds
    runs = ['teacher', 'full', *(f'{kind}-{percent}' for kind in kinds)]
    found = f'found-{percent}'
    yield from (f'### {percent} % of the MACs', '')
    if not pooled(records, [found]):
        yield from ('The found network has no record yet.', '')
        return
    lines = [
        '| network | folds | share of MACs | pixels | M params | top-1 | cross entropy '
        '| found less it, points of top-1 | found less it, nats | ms | minutes |',
        '|---|---|---|---|---|---|---|---|---|---|---|',
    ]
    for run in runs:
        folds = pooled(records, [run])
        if folds:
            lines.append(_row(name, records, run, found, folds, latency))
    yield from lines
    yield ''
    yield from _claims(name, records, percent)
    yield ''


def _row(name, records, run, found, folds, latency) -> str:
    own = [records[fold, run] for fold in folds]
    number = sum(r['num_images'] for r in own)

    def mean(key: str) -> float:
        return sum(r[key] * r['num_images'] for r in own) / number

    kind = run.rpartition('-')[0] if run not in WORDS else run
    cells = [WORDS[kind], str(len(own)), _range([_cost(r) for r in own], 3)]
    cells += [_range([r['input_size'] for r in own], 0), _range([r['params_m'] for r in own], 2)]
    cells += [f'{mean("top1"):.1f}', f'{mean("ce"):.3f}']
    both = [fold for fold in folds if (fold, found) in records]
    for key, digits in (('top1', 1), ('ce', 3)):
        if run == found or not both:
            cells.append('')
            continue
        pairs = [[records[fold, one] for fold in both] for one in (found, run)]
        cells.append(told(difference(*pairs, key=key), digits))
    ms = [latency[key]['ms'] for fold in folds if (key := f'{name} {fold} {run}') in latency]
    cells += [_range(ms, 2) if ms else '', f'{sum(r["minutes"] for r in own) / len(own):.1f}']
    return f'| {" | ".join(cells)} |'


def _claims(name: str, records: Mapping, percent: str) -> Iterator[str]:
    """What the aims of the page come to, in sentences."""
    found, kinds = f'found-{percent}', SETTINGS[name].kinds
    for run in ('full', 'teacher'):
        folds = pooled(records, [found, run])
        if not folds:
            continue
        interval = difference(*_pairs(records, folds, found, run))
        yes = interval.low > -MARGIN
        yield (
            f'* Against {WORDS[run]}, on {_images(records, folds, run)}: '
            f'{told(interval, unit=POINTS)}. That it is not worse by more than {MARGIN:g} point is '
            f'{"shown" if yes else "not shown"}: the interval '
            f'{"lies above" if yes else "reaches below"} {-MARGIN:g}.'
        )
    usual = [f'{kind}-{percent}' for kind in USUAL if kind in kinds]
    if name in SCALED_UP:
        usual.remove(f'lower-size-{percent}')
    folds = pooled(records, [found, *usual])
    if folds:
        tops = {run: _top1(records, folds, run) for run in usual}
        best = max(tops, key=tops.get)
        interval = difference(*_pairs(records, folds, found, best))
        aim = 'reached' if interval.mean >= AIM and interval.low > 0 else 'not reached'
        aim = f' The aim, {AIM:g} point and an interval above zero, is {aim}.'
        word = WORDS[best.rpartition('-')[0]]
        shares = [_cost(records[fold, best]) for fold in folds]
        yield (
            f'* The best of the usual means, by these same images, is {word} '
            f'({tops[best]:.1f} %, at {_range(shares, 2)} of the MACs). Found less it, on '
            f'{_images(records, folds, best)}: {told(interval, unit=POINTS)}.'
            f'{aim if percent == AIM_AT else ""}'
        )
    randoms = [f'{kind}-{percent}' for kind in kinds if kind.startswith('random')]
    folds = pooled(records, [found, *randoms]) if randoms else []
    if folds:
        ones = [records[fold, found] for fold in folds]
        others = [[records[fold, run] for run in randoms] for fold in folds]
        yield (
            f'* Found less the mean of {len(randoms)} random paths of each fold: '
            f'{told(difference(ones, others), unit=POINTS)}.'
        )


def _cost(record: Mapping) -> float:
    """Share of the full network's MACs."""
    return record['macs_m'] / record['full_macs_m']


def _pairs(records, folds, one: str, other: str) -> tuple[list[dict], list[dict]]:
    return [records[fold, one] for fold in folds], [records[fold, other] for fold in folds]


def _images(records, folds, run: str) -> str:
    number = sum(records[fold, run]['num_images'] for fold in folds)
    return f'{number:,} images of {len(folds)} fold{"s" if len(folds) > 1 else ""}'


def _top1(records, folds, run: str) -> float:
    own = [records[fold, run] for fold in folds]
    return 100 * sum(r['hits'].count('1') for r in own) / sum(r['num_images'] for r in own)


def _extras(name: str, records: Mapping, extras: Sequence[str]) -> Iterator[str]:
    there = [run for run in extras if (0, run) in records and run not in SEARCHES]
    if not there:
        return
    yield from ('### Other starts, fold 0', '')
    yield '| what | M MACs | pixels | top-1 | cross entropy | found less it, points | minutes |'
    yield '|---|---|---|---|---|---|---|'
    for run in there:
        r, words, less = records[0, run], WORDS.get(run), ''
        macs = f'{r["macs_m"]:.1f}' if r.get('macs_m') else ''
        if words is None:  # it has a share
            kind, _, percent = run.rpartition('-')
            words, found = f'{WORDS[kind]}, {percent} %', f'found-{percent}'
            if (0, found) in records:
                less = told(difference(*_pairs(records, [0], found, run)))
        cells = [words, macs, str(r['input_size']), f'{r["top1"]:.1f}', f'{r["ce"]:.3f}', less]
        yield f'| {" | ".join(cells)} | {r["minutes"]:.1f} |'
    yield ''


def _searches(records: Mapping) -> Iterator[str]:
    folds = pooled(records, ['search'])
    if not folds:
        return
    yield from ('### The searches', '')
    yield from (
        '| fold | fine-tuning Lite0, minutes | its slices | choice | in all | CPU minutes |',
        '|---|---|---|---|---|---|',
    )
    runs = {str(fold): records[fold, 'search'] for fold in folds}
    if (0, 'changes') in records:
        runs['0, slices not trained'] = records[0, 'changes']
    for told_fold, r in runs.items():
        parts = [r['stages'].get(key) for key in ('full', 'slices', 'choice')]
        cells = ['' if part is None or r['resumed'] else f'{part:.1f}' for part in parts]
        again = ' (after a kill)' if r['resumed'] else ''
        cells += [f'{r["minutes"]:.1f}{again}', f'{r["cpu_s"] / 60:.1f}']
        yield f'| {told_fold} | {" | ".join(cells)} |'


def _range(values: Sequence[float], digits: int) -> str:
    low, high = (f'{pick(values):.{digits}f}' for pick in (min, max))
    return low if low == high else f'{low} to {high}'

"""The pictures of docs/images: from records in docs/results, or from the report of a run.

  python benchmarks/pictures.py photos                  the figure of the first page
  python benchmarks/pictures.py report REPORT.html front board
                                                        sections of a report, by Chromium
  python benchmarks/pictures.py report work_dirs/demo/report_cream.html board --prefix cream_
                                                        Cream's board, after `make demo`

A section is named by its id in the page. Chromium is looked for as `chromium`, `google-chrome`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from cream_mm.reports.formats import wilson_interval
from cream_mm.reports.style import BLUE, GREEN, GREY, NAVY, ORANGE, VIOLET, plot_style

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 150_000
KINDS = dict(  # kind of a record: words, colour, marker
    found=('found by the search', ORANGE, 'o'),
    lower=('Lite0 on smaller images', BLUE, 's'),
    narrower=('Lite0, fewer channels', GREEN, '^'),
    shallower=('Lite0, fewer layers', VIOLET, 'v'),
    random=('random slices, mean', GREY, 'x'),
)


def means(records: Sequence[Mapping]) -> dict[tuple[str, float], tuple[float, float, int]]:
    """(kind, share asked for) -> multiply-adds (M), top-1 in percent over all folds, images."""
    groups: dict[tuple[str, float], list[Mapping]] = {}
    for record in records:
        kind = record['kind'].partition('-')[0]
        if kind == 'full' or (kind in KINDS and record.get('share')):
            groups.setdefault((kind, record.get('share') or 1.0), []).append(record)
    found = {}
    for key, rows in groups.items():
        macs, top1 = ([row[name] for row in rows] for name in ('macs_m', 'top1'))
        counts = [row['num_images'] for row in rows]
        images = sum({row['images']: row['num_images'] for row in rows}.values())
        found[key] = (float(np.mean(macs)), float(np.average(top1, weights=counts)), images)
    return found


def draw_photos(records: Sequence[Mapping]) -> Figure:
    """Top-1 over multiply-adds: what was found, the usual means, Lite0; one set, all its folds."""
    points = means(records)
    macs, full, images = points.pop(('full', 1.0))
    folds = len({record['fold'] for record in records})
    with plot_style():
        figure = Figure(figsize=(7.5, 4.2), layout='constrained')
        axes = figure.subplots()
        axes.axhline(full, color=NAVY, linewidth=1, linestyle=':')
        axes.scatter(macs, full, color=NAVY, marker='D', s=42, zorder=3)
        axes.annotate('Lite0, trained alike', (macs, full), (-6, 6), ha='right',
                      textcoords='offset points')  # fmt: skip
        for kind, (words, color, marker) in KINDS.items():
            rows = sorted(row for (name, _), row in points.items() if name == kind)
            if not rows:
                continue
            xs, ys, _ = zip(*rows, strict=True)
            axes.plot(xs, ys, color=color, marker=marker, markersize=8 if kind == 'found' else 6,
                      label=words, linewidth=2 if kind == 'found' else 1, zorder=3)  # fmt: skip
            if kind == 'found':
                for x, y, number in rows:
                    axes.plot([x, x], wilson_interval(y, number), color=color, linewidth=0.8)
        axes.set_xlabel('million multiply-adds')
        axes.set_ylabel('top-1, %')
        axes.set_title(
            f'{images:,} test photographs of clothes, {folds} of 3 folds; all trained by one recipe'
        )
        axes.legend(loc='lower right')
        axes.margins(x=0.08)
    return figure


PLAIN = """<style>
html, body, main { background: white; min-height: 0; margin: 0; border: 0; padding: 8px; }
</style>"""
NO_TABLES = '<style>table { display: none !important; }</style>'


def shoot(report: Path, section: str, width: int, tables: bool) -> Image.Image:
    """A picture of one section of a report, its margins cut off."""
    text = report.read_text()
    found = re.search(rf'<section id="{section}".*?</section>', text, flags=re.S)
    if not found:
        sys.exit(f'error: {report} has no section {section!r}')
    browser = shutil.which('chromium') or shutil.which('google-chrome')
    if not browser:
        sys.exit('error: no Chromium was found; on Debian: apt-get install chromium')
    styles = [*re.findall(r'<style>.*?</style>', text, flags=re.S), PLAIN]
    styles += [] if tables else [NO_TABLES]
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / 'page.html', Path(folder) / 'page.png'
        page.write_text(
            f'<!DOCTYPE html><meta charset="utf-8">{"".join(styles)}<main>{found[0]}</main>'
        )
        subprocess.run(
            [browser, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
             f'--user-data-dir={folder}/home', f'--window-size={width},3000',
             f'--screenshot={picture}', page.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        image = Image.open(picture).convert('RGB')
    paper = Image.new('RGB', image.size, 'white')
    left, top, right, bottom = ImageChops.difference(image, paper).getbbox()
    margin = 8
    return image.crop(
        (
            max(left - margin, 0),
            max(top - margin, 0),
            min(right + margin, image.width),
            min(bottom + margin, image.height),
        )
    )


def save(image: Image.Image, name: str, out: Path) -> None:
    """Write a PNG of 128 colours, which is small enough for a repository."""
    path = out / f'{name}.png'
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f'{path}: {image.width} x {image.height}, {size / 1000:.0f} kB')
    if size > MOST_BYTES:
        sys.exit(f'error: {path} has more than {MOST_BYTES // 1000} kB')


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=('photos', 'report'))
    parser.add_argument('report', nargs='?', type=Path, metavar='REPORT.html')
    parser.add_argument('sections', nargs='*')
    parser.add_argument('--prefix', default='report_', help='of the files (default: report_)')
    parser.add_argument('--width', type=int, default=900, help='pixels (default: 900)')
    parser.add_argument('--no-tables', action='store_true', help='figures and text alone')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/images')
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == 'photos':
        lines = (ROOT / 'docs/results/photos.jsonl').read_text().splitlines()
        records = [record for record in map(json.loads, lines) if record['set'] == 'clothing']
        with tempfile.TemporaryFile() as buffer:
            draw_photos(records).savefig(buffer, dpi=130, format='png')
            save(Image.open(buffer).convert('RGB'), 'photos', args.out)
        return
    if not args.report or not args.sections:
        parser.error('report needs REPORT.html and names of sections')
    for section in args.sections:
        save(
            shoot(args.report, section, args.width, not args.no_tables),
            f'{args.prefix}{section}',
            args.out,
        )


if __name__ == '__main__':
    main()

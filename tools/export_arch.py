"""Turn a path of a supernet into weights, arch.json and ready-to-run configs.

  python tools/export_arch.py work_dirs/search_imagenet/best_arch.json --out work_dirs/export
  python tools/export_arch.py '[[0],[3,3],[3,1],[3,1,1],[3,3],[3],[0]]' \\
      --checkpoint work_dirs/search_imagenet/epoch_120.pth --out work_dirs/export
"""

import argparse
import os.path as osp
import shlex

from cream_mm.apis.export_arch import export_arch
from cream_mm.command_line import clear_errors
from cream_mm.files.arch_file import read_arch_file


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'arch', metavar='ARCH', help='best_arch.json, a published name, or a nested list'
    )
    parser.add_argument(
        '--checkpoint',
        metavar='SUPERNET.pth',
        help="the supernet; default: the last checkpoint beside ARCH's JSON",
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write into')
    args = parser.parse_args(argv)
    root = osp.dirname(osp.dirname(osp.abspath(__file__)))
    files = export_arch(args.arch, args.checkpoint, args.out, root=root)
    for what, path in files.items():
        print(f'{what:9s} {osp.relpath(path)}')
    for note in (read_arch_file(files['arch']).get('choice') or {}).get('notes') or []:
        print(f'note:     {note}')
    if 'weights' not in files:
        print('no weights: name the supernet with --checkpoint to cut them out')
    print(f'next:     python tools/train.py {shlex.quote(osp.relpath(files["retrain"]))}')


if __name__ == '__main__':
    with clear_errors():
        main()

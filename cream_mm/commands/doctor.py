"""Say what is installed and what the machine offers, and how to mend what is wrong.

  python tools/doctor.py
  python tools/doctor.py --json > doctor.json

A line is "ok", "note" (it may matter), or "wrong" (something will fail); below it is what to do.
Packages are imported in a process of their own, so that a broken one is only a line. It ends with
status 1 if anything is wrong.
"""

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from cream_mm.checkup import imports, installation, machine
from cream_mm.checkup.installation import Finding
from cream_mm.command_line import tool_parser

FORMAT = 'cream_mm.doctor/1'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--json', action='store_true', help='for machines: one object, on stdout')
    parser.add_argument(
        '--quick', action='store_true', help='import nothing: names, versions and places alone'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    findings = []
    for check in checks(quick=args.quick):
        for finding in _done(check):
            findings.append(finding)
            if not args.json:
                print(told(finding), flush=True)
    wrong = sum(finding.status == 'wrong' for finding in findings)
    if args.json:
        content = dict(format=FORMAT, ok=not wrong, findings=[f._asdict() for f in findings])
        print(json.dumps(content, indent=1))
    else:
        notes = sum(finding.status == 'note' for finding in findings)
        print(f'{wrong or "nothing"} wrong, {notes} note{"" if notes == 1 else "s"}')
    if wrong:
        sys.exit(1)


def checks(*, quick: bool = False) -> list[Callable[[], list[Finding]]]:
    """What is looked at, in order; the imports, which take a while, last."""
    found = [
        machine.check_python,
        lambda: installation.check_self(_here()),
        installation.check_family_packages,
        installation.check_versions,
        installation.check_opencv,
        installation.check_setuptools,
        machine.check_cores,
        lambda: machine.check_places(_here()),
        machine.check_shared_memory,
        installation.check_extras,
        installation.check_weights,
    ]
    return found if quick else [*found, _import]


def told(finding: Finding) -> str:
    """A finding as text: status, topic, what was found, and below it what to do."""
    head = f'{finding.status:<5}  {finding.topic:<14}  '
    lines = [head + finding.text]
    if finding.remedy:
        lines.append(textwrap.indent(f'mend: {finding.remedy}', ' ' * len(head)))
    return '\n'.join(lines)


def _import() -> list[Finding]:
    print('Importing every package, which takes a while ...', file=sys.stderr, flush=True)
    return imports.check_imports()


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return Path(os.environ.get('PWD', '.'))


def _done(check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    # What is looked at may be broken in any way: the other checks are still of use.
    except Exception as error:
        return [Finding('note', 'doctor', f'a check failed: {type(error).__name__}: {error}')]

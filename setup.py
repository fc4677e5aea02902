"""Puts the configs into the package, where OpenMMLab's tools look for them: ``cream_mm/.mim``.

All else about the package is in setup.cfg.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
TRAVEL = ('configs', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Copies them into what is built; an editable installation links to them, as a clone does."""

    def run(self) -> None:
        super().run()
        mim = Path(ROOT if self.editable_mode else self.build_lib, 'cream_mm', '.mim')
        for name in TRAVEL:
            to = mim / name
            if self.editable_mode:
                if not to.exists():
                    mim.mkdir(exist_ok=True)
                    os.symlink(Path('../..', name), to)
            elif (ROOT / name).is_dir():
                shutil.rmtree(to, ignore_errors=True)  # of an earlier build
                shutil.copytree(ROOT / name, to, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copyfile(ROOT / name, to)


setup(cmdclass=dict(build_py=BuildWithConfigs))

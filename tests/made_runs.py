"""Small trainings by the Runner of the package: their images, and what makes them quick."""

from mmengine.config import Config

from cream_mm.engine import Runner
from cream_mm.testing import write_image_folder


def small_images(tmp_path_factory):
    """A folder of 3 classes, each with 12 training images of 8 x 8 pixels."""
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def use_our_runner(monkeypatch):
    """Let ``build`` of test_search_run take it."""
    monkeypatch.setattr('test_search_run.Runner', Runner)
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')  # to format one takes seconds

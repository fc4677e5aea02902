"""One self-contained HTML page about the errors of a classifier that no search belongs to."""

from pathlib import Path

import jinja2

from ..files import write_whole
from ..files.errors_file import ERRORS_FILE
from .class_errors import ClassErrors, read_class_errors
from .formats import format_pct
from .style import PAGE_COLORS


class ErrorReport:
    """What a training or a test of a classifier noted of its images.

    Args:
        work_dir (str | Path): Holds ``errors.json``.

    Raises:
        FileNotFoundError: If it has none.
        OSError, ValueError: If that cannot be read.
    """

    def __init__(self, work_dir: str | Path):
        self.work_dir = Path(work_dir)
        self.notes: list[str] = []  # a page of a search has some
        errors = read_class_errors(work_dir)
        if errors is None:
            raise FileNotFoundError(f'{self.work_dir / ERRORS_FILE} not found')
        self.errors: ClassErrors = errors

    def save(self, out: str | Path | None = None) -> Path:
        """Write the page and return its path, by default ``report.html`` in the folder."""
        out = Path(out) if out is not None else self.work_dir / 'report.html'
        write_whole(out, self.to_html().encode('utf-8', errors='replace'))
        return out

    def to_html(self) -> str:
        """The page as one text with no link to anything outside it."""
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
            trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        env.filters.update(pct=format_pct)
        return env.get_template('error_report.html.j2').render(
            errors=self.errors, name=str(self.work_dir), colors=PAGE_COLORS
        )

    def summary(self) -> str:
        """For a terminal: top-1 and the commonest confusions."""
        errors = self.errors
        lines = [
            f'top-1 {format_pct(errors.top1_pct)}, mean over classes {format_pct(errors.mean_pct)} '
            f'({errors.images})'
        ]
        lines += [
            f'{pair["label"]} taken for {pair["predicted"]}: {pair["number"]} of {pair["of"]}'
            for pair in errors.pairs()[:5]
        ]
        return '\n'.join(f'  {line}' for line in lines)

"""Reports for people: one self-contained HTML page from the files of a run."""

from .error_report import ErrorReport
from .search_report import SearchReport

__all__ = ['ErrorReport', 'SearchReport']

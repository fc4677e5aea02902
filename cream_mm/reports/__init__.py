"""Reports for people: one self-contained HTML page from the files of a run."""

from .search_report import SearchReport

__all__ = ['SearchReport']

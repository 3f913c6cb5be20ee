"""One page about a library: what is in it, how good its model is, which labels are in doubt."""

from kg.report.report import Written, write_report

__all__ = ["Written", "write_report"]

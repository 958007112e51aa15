"""Branches of a flow, and what brings them together: `case`, `switch`, `ifelse`, `merge`, `FilterTask`."""

from headwater.core.control_flow import CompareValue, FilterTask, Merge, case, ifelse, merge, switch

__all__ = ["CompareValue", "FilterTask", "Merge", "case", "ifelse", "merge", "switch"]

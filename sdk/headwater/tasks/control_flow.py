"""Branches of a flow: what `headwater.control_flow` holds, under the name by which many flows import it."""

from headwater.core.control_flow import CompareValue, FilterTask, Merge, case, ifelse, merge, switch

__all__ = ["CompareValue", "FilterTask", "Merge", "case", "ifelse", "merge", "switch"]

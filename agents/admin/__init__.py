"""The operators' pages of conversations, runs and datasets: to look at, not to change."""

from agents.admin import datasets, runs, threads

__all__ = ["datasets", "runs", "threads"]

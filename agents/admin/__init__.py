"""The operators' pages of conversations, runs, datasets, and of the queue: to look at, not to change."""

from agents.admin import datasets, jobs, runs, threads, workers

__all__ = ["datasets", "jobs", "runs", "threads", "workers"]

"""The layouts of answers: one module a kind of section, put together by `compose`."""

from .compose import compose_answer

__all__ = ["compose_answer"]

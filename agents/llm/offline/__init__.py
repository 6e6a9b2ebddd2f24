"""The offline analyst: the same agents and tools without a language model, a key or a network.

It recognises what is asked by rules, calls the tools that answer it, and writes down what they returned.
Every figure in an answer comes from a tool result.
"""

from .model import MODEL_NAME, offline_model

__all__ = ["MODEL_NAME", "offline_model"]

"""A local AWS Lambda: real function processes and real extensions, driven by tests."""

from .environment import Lambda
from .observations import Call, Dropped, Exit, Post
from .results import InvocationResult

__all__ = ["Call", "Dropped", "Exit", "InvocationResult", "Lambda", "Post"]

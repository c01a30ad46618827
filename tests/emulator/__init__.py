"""A local AWS Lambda: real function processes and real extensions, driven by tests."""

from .answers import Response
from .environment import Lambda
from .observations import Call, Dropped, Exit, Post

__all__ = ["Call", "Dropped", "Exit", "Lambda", "Post", "Response"]

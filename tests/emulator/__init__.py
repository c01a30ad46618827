"""A local AWS Lambda: real function processes and real extensions, driven by tests."""

from .answers import Answer
from .environment import Lambda
from .observations import Call, Dropped, Exit, Post

__all__ = ["Answer", "Call", "Dropped", "Exit", "Lambda", "Post"]

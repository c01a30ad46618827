"""A local AWS Lambda: real function processes and real extensions, driven by tests."""

from .environment import Answer, Lambda
from .observations import Call, Dropped, Exit, Post

__all__ = ["Answer", "Call", "Dropped", "Exit", "Lambda", "Post"]

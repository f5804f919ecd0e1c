"""The control interface of a running Guard, both ends of it."""

from guard.control.client import audit, diff, explain
from guard.control.operations import serve_metrics
from guard.control.server import SOCKET, serve

__all__ = ["SOCKET", "audit", "diff", "explain", "serve", "serve_metrics"]

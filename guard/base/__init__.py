"""What every part stands on: errors, JSON, time, backoff, names. Nothing here knows Kubernetes."""

from guard.base import backoff, clock, codec, errors, naming

__all__ = ["backoff", "clock", "codec", "errors", "naming"]

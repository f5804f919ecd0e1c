"""Values that are worked out when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 (used as a decorator, as `property` is)
    """`functools.cached_property` without the lock that Python 3.11 takes on every first look (0.9 us against 0.2 us; a decision
    takes some twenty such looks). The instance needs a `__dict__`.
    """

    def __init__(self, work: Callable[..., T]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> T:
        value = instance.__dict__[self._name] = self._work(instance)
        return value

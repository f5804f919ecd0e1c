from __future__ import annotations

import inspect

from guard.base import errors
from guard.base.errors import ApiStatusError, GuardError, RenderError


def test_an_error_is_one_line_with_its_place_and_what_to_do() -> None:
    assert str(RenderError("no such kind")) == "no such kind"
    assert str(RenderError("no such kind", where="a.yaml:3", hint="install it")) == "a.yaml:3: no such kind (install it)"


def test_every_error_stands_in_the_tree_that_the_module_shows() -> None:
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]
    assert all(issubclass(found, GuardError) and found.__name__ in (errors.__doc__ or "") for found in classes)


def test_an_answer_of_the_api_server_keeps_its_code_beside_the_text() -> None:
    error = ApiStatusError("no", code=429, reason="TooManyRequests", retry_after=1.0, where="default/web")
    assert (str(error), error.code, error.reason, error.retry_after) == ("default/web: no", 429, "TooManyRequests", 1.0)

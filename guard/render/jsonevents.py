"""Makes libyaml's events of JSON, which libyaml itself would read wrongly: it breaks lines in strings at U+0085 and U+2028, knows
no surrogate escapes, and takes no key that is longer than 1,024 characters or in another line than its colon. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

import yaml

_TOKEN = re.compile(r'[{}\[\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\r\n,:{}\[\]"]++')
_SURROGATE = re.compile("[\ud800-\udfff]")


def events(text: str) -> Iterator[yaml.Event]:
    """The events of a text that is one JSON value; that it is was found out before. Marks have no line, only an index."""
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent()
    for found in _TOKEN.finditer(text):
        yield _event(found[0], _mark(found.start()))
    yield yaml.DocumentEndEvent(end := _mark(len(text)), end)


def _event(token: str, mark: yaml.Mark) -> yaml.Event:
    match token[0]:
        case "{":
            return yaml.MappingStartEvent(None, None, True, mark, mark)
        case "}":
            return yaml.MappingEndEvent(mark, mark)
        case "[":
            return yaml.SequenceStartEvent(None, None, True, mark, mark)
        case "]":
            return yaml.SequenceEndEvent(mark, mark)
        case '"':
            return yaml.ScalarEvent(None, None, (False, True), _string(token), mark, mark)
        case _:
            # What YAML would take for a text.
            if token not in {"true", "false", "null"} and math.isinf(float(token)):
                raise yaml.MarkedYAMLError(problem="the number is too large", problem_mark=mark)
            return yaml.ScalarEvent(None, None, (True, False), token, mark, mark)


def _mark(index: int) -> yaml.Mark:
    return yaml.Mark("", index, 0, 0, None, 0)


def _string(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    # As Go has it, half of a pair stands for nothing.
    return _SURROGATE.sub("\ufffd", json.loads(token))

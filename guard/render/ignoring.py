"""Which files an ignore file leaves out. The patterns are a repository's own, and matching may take for ever: for the child."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.base import GitIgnorePatternError

from guard.base.errors import RenderError

IGNORE_FILE = ".guardignore"
# Nobody writes more patterns by hand.
MOST_BYTES = 64 * 1024


class Question(Struct, frozen=True):
    """Which of the paths the ignore files leave out; `files` has their contents by path."""

    paths: list[str]
    files: dict[str, bytes]


def is_ignore_file(path: str) -> bool:
    return path.rpartition("/")[2] == IGNORE_FILE


def left_out(question: Question) -> list[str]:
    """The deepest ignore file that says anything of a path has the word, as in Git. Raises RenderError, naming file and line, for
    a pattern that cannot be read.
    """
    # From the outermost: `a/b` is behind `a`, whose name it begins with.
    specs = {path.rpartition("/")[0]: _spec(path, data) for path, data in sorted(question.files.items(), key=_folder)}
    return [path for path in question.paths if _is_out(path, specs)]


def _folder(file: tuple[str, bytes]) -> str:
    return file[0].rpartition("/")[0]


def _is_out(path: str, specs: Mapping[str, GitIgnoreSpec]) -> bool:
    out = False
    for folder, spec in specs.items():
        if not folder or path.startswith(f"{folder}/"):
            said = spec.check_file(path[len(folder) + 1 if folder else 0 :]).include
            out = out if said is None else said
    return out


def _spec(path: str, data: bytes) -> GitIgnoreSpec:
    if len(data) > MOST_BYTES:
        raise RenderError(f"is larger than {MOST_BYTES // 1024} KiB", where=path)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RenderError("is not UTF-8", where=path) from error
    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except GitIgnorePatternError as error:
            raise RenderError(f"{line!r} is no pattern of gitignore", where=f"{path}:{number}") from error
    return GitIgnoreSpec.from_lines(lines)

from __future__ import annotations

import pytest

from guard.state.snapshot import is_lfs_pointer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    "data",
    [
        POINTER,
        POINTER.replace(b"git-lfs", b"hawser"),
        POINTER.replace(b"\noid", b"\next-0-case-inverter sha256:9e\noid"),
        POINTER.replace(b"\n", b"\r\n"),
    ],
)
def test_a_pointer_of_git_lfs_is_told_from_its_content(data: bytes) -> None:
    assert is_lfs_pointer(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"apiVersion: v1\n",
        b"# " + POINTER,
        POINTER + b" " * 1024,
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_other_files_are_no_pointers(data: bytes) -> None:
    assert not is_lfs_pointer(data)

from __future__ import annotations

from guard.source.bucket import answers as s3answers

ONE = '<Contents><Key>{key}</Key><ETag>"1"</ETag><Size>1</Size></Contents>'


def test_a_page_is_read_wherever_the_pieces_end_in_which_it_is() -> None:
    """Within a name, a letter or a tag, and right behind the last element, after which some stores put a newline."""
    for length in range(100):
        keys = [f"{number}ü" for number in range(1000)]
        text = "".join(ONE.format(key=key) for key in ("k" * (1 + length), *keys))

        found = s3answers.page(f"<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult>{text}</ListBucketResult>\n".encode())

        assert [each.key for each in found.objects][1:] == keys


def test_nothing_behind_the_last_element_makes_a_page_another_one() -> None:
    piece = 16 * 1024
    for length in range(piece - 3, piece + 4):
        body = b"<ListBucketResult>%s</ListBucketResult>"
        text = ONE.format(key="k" * (length - len(body) + 2 - len(ONE) + 5)).encode()

        assert len(s3answers.page(body % text + b"\n").objects) == 1

"""Receiving a multipart upload."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enrichment.uploads import Upload, receive, upload_file
from app.errors import InvalidRequest, PayloadTooLarge

TYPE = "multipart/form-data; boundary=frontier"


def part(name: str, content: bytes, *, more: str = "") -> bytes:
    head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--frontier--\r\n"
FILE = part("file", b"domain\r\nacme.com\r\n", more='; filename="a.csv"')
OPTIONS = part("options", b'{"entity": "company"}')


async def pieces(body: bytes, cuts: Sequence[int] = ()) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cuts), len(body)]
    for first, last in pairwise(edges):
        yield body[first:last]


async def received(body: bytes, cuts: Sequence[int] = (), content_type: str = TYPE) -> tuple[Upload, bytes]:
    with upload_file() as file:
        upload = await receive(pieces(body, cuts), content_type, file)
        file.seek(0)
        return upload, file.read()


@pytest.mark.parametrize("body", [FILE + OPTIONS + END, OPTIONS + FILE + END])
async def test_the_parts_may_come_in_any_order(body: bytes):
    upload, content = await received(body)
    assert content == b"domain\r\nacme.com\r\n"
    assert upload.options == b'{"entity": "company"}'
    assert upload.sha256 == hashlib.sha256(content).digest()


@settings(deadline=None)
@given(st.binary(max_size=100), st.lists(st.integers(0, 400), max_size=6))
async def test_however_the_body_is_cut_the_file_is_the_same(content: bytes, cuts: list[int]):
    body = part("file", content, more='; filename="a.csv"') + OPTIONS + END
    if b"--frontier" in content:
        return
    _, stored = await received(body, [cut for cut in cuts if cut < len(body)])
    assert stored == content


async def test_the_type_of_a_part_is_not_looked_at():
    _, content = await received(part("file", b"x", more="\r\nContent-Type: application/vnd.ms-excel") + OPTIONS + END)
    assert content == b"x"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (FILE + END, ["options"]),
        (OPTIONS + END, ["file"]),
        (FILE + FILE + OPTIONS + END, ["file"]),
        (FILE + OPTIONS + part("extra", b"1") + END, ["extra"]),
        (FILE + OPTIONS + b"--frontier\r\nContent-Type: text/csv\r\n\r\n\r\n" + END, ["body"]),
        (FILE + OPTIONS, []),
        (FILE + b"--fron", []),
        (b"", []),
        (END, ["file", "options"]),
        (b"domain\nacme.com\n", []),
    ],
)
async def test_a_body_without_just_these_two_parts_is_refused(body: bytes, fields: list[str]):
    with pytest.raises(InvalidRequest) as caught:
        await received(body)
    assert [detail.field for detail in caught.value.details] == fields


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
async def test_a_body_without_a_boundary_is_refused(content_type: str):
    with pytest.raises(InvalidRequest):
        await received(FILE + OPTIONS + END, content_type=content_type)


async def test_too_many_options_are_refused_as_they_come():
    with pytest.raises(PayloadTooLarge):
        await received(part("options", b" " * (64 * 1024 + 1)))

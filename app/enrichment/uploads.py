"""Receiving a multipart upload as it comes in: the file goes to disk and its digest is made on the way.

The body is never held in memory, and its parts may come in any order.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import Detail, InvalidRequest, PayloadTooLarge

MAX_OPTIONS_BYTES = 64 * 1024

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # there for type checkers only

_FILE, _OPTIONS = "file", "options"


class Upload:
    """What arrived: `file` to be read, the SHA-256 of its content, and `options` as they were sent."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.options = b""
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    def write(self, part: str, data: bytes) -> None:
        """Raises PayloadTooLarge for too many options."""
        if part == _FILE:
            self.file.write(data)
            self._digest.update(data)
            return
        self.options += data
        if len(self.options) > MAX_OPTIONS_BYTES:
            raise PayloadTooLarge(f"The part options is larger than {MAX_OPTIONS_BYTES // 1024} kB.")


@contextmanager
def upload_file() -> Iterator[BinaryIO]:
    """A temporary file, gone after the block."""
    with TemporaryFile(prefix="holdfast-upload-") as file:
        yield file


async def receive(chunks: AsyncIterator[bytes], content_type: str, file: BinaryIO) -> Upload:
    """Read a multipart/form-data body with the parts `file` and `options`, once each.

    Raises InvalidRequest where the body is no such thing, PayloadTooLarge.
    """
    upload = Upload(file)
    parts = _Parts(upload.write)
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise InvalidRequest("The Content-Type names no multipart boundary.")
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The multipart body cannot be read: {error}") from None
    parts.check()
    return upload


class _Parts:
    """The callbacks of the parser: which part the data belongs to."""

    def __init__(self, write: Callable[[str, bytes], None]) -> None:
        self._write = write
        self._seen: list[str] = []
        self._part = ""
        self._header = b""
        self._value = b""
        self._name: bytes | None = None
        self._complete = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_begin": self._begin_header,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def check(self) -> None:
        """Raises InvalidRequest unless both parts came, to the end."""
        if not self._complete:
            raise InvalidRequest("The multipart body ends before its closing boundary.")
        missing = [name for name in (_FILE, _OPTIONS) if name not in self._seen]
        if missing:
            raise InvalidRequest(
                "An upload has two parts, file (CSV) and options (JSON).",
                details=[Detail(name, "This part is missing.") for name in missing],
            )

    def _begin(self) -> None:
        self._name = None

    def _begin_header(self) -> None:
        self._header = self._value = b""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name")

    def _end_headers(self) -> None:
        name = (self._name or b"").decode(errors="replace")
        if name not in (_FILE, _OPTIONS):
            problem = Detail(name or "body", "The parts of an upload are file and options.")
            raise InvalidRequest("The upload has a part that is not known.", details=[problem])
        if name in self._seen:
            raise InvalidRequest("The upload has a part twice.", details=[Detail(name, "Send this part once.")])
        self._seen.append(name)
        self._part = name

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._write(self._part, data[start:end])

    def _end(self) -> None:
        self._complete = True

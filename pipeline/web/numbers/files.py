"""Numbers as a file to keep: made as a whole first, so that nobody gets half of one."""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, BinaryIO, Literal, cast

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pipeline.core.errors import MoonwatchError
from pipeline.reports.making import MEDIA_TYPES
from pipeline.web.problems import WebError

FileFormat = Literal["csv", "parquet", "jsonl"]
FILE_FORMATS: Mapping[FileFormat, str] = {
    "csv": MEDIA_TYPES["csv"],
    "parquet": MEDIA_TYPES["parquet"],
    "jsonl": "application/x-ndjson",
}
_NEEDS = {"parquet": "pyarrow", "pdf": "typst"}
_IN_MEMORY = 4 * 1024 * 1024
_CHUNK = 256 * 1024


def missing_formats() -> dict[str, str]:
    """The formats that cannot be written here, and the package that each of them lacks."""
    return {
        form: package
        for form, package in _NEEDS.items()
        if importlib.util.find_spec(package) is None
    }


class SentFile(StreamingResponse):
    """A file on its way; it is closed also where nobody reads it to its end."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(_chunks(file), media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def sent_file(name: str, media_type: str, write: Callable[[BinaryIO], object]) -> StreamingResponse:
    """A file to download; raises WebError where it cannot be written, and StoreError."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the answer closes it
    try:
        write(cast(BinaryIO, file))
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(size),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return SentFile(file, media_type, headers)


def needing_package(write: Callable[[], bytes]) -> bytes:
    """What a writer makes; raises WebError with its sentence where a package is missing."""
    try:
        return write()
    except MoonwatchError as error:
        if type(error) is not MoonwatchError:
            raise
        raise WebError(501, str(error)) from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk

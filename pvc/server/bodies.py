"""What a request brings: an image, whole or without its holes, or the multipart field `file`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import aiohttp
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from pvc.errors import InvalidImage, InvalidInput
from pvc.images import sparse
from pvc.images.body import Body
from pvc.server.intake import can_be_taken, taken
from pvc.server.measures import MEASURES

# aiohttp's own 8 KiB costs four times the processor time of this (measured, see docs/design/002).
_PART_PIECE = 256 * 1024


def is_multipart(request: web.Request) -> bool:
    return request.content_type == "multipart/form-data"


def is_sparse(request: web.Request) -> bool:
    return request.content_type == sparse.CONTENT_TYPE


@contextmanager
def image(
    request: web.Request, size: int | None, *, raw: bool, begin: int = 0
) -> Iterator[tuple[AsyncIterator[bytes | sparse.Hole], int | None]]:
    """And how long it is, where that is known. size: of one that comes without its holes, from `begin` on."""
    if raw and not is_multipart(request) and can_be_taken(request):
        with taken(request) as intake:
            if size is None:
                yield sparse.whole(intake), request.content_length
            else:
                yield sparse.unframed(intake, size, begin), size
    elif size is not None:
        yield sparse.unframed(Body(_plain(request), sparse.TOO_SHORT), size, begin), size
    else:
        yield body(request)


def body(request: web.Request) -> tuple[AsyncIterator[bytes], int | None]:
    """What is uploaded, and how long it is, where that is known."""
    if is_multipart(request):
        return _parts(request), None
    return _plain(request), request.content_length


def hang_up(request: web.Request) -> None:
    """Whoever reads of the connection, past aiohttp too, hears that it is over."""
    if request.transport is not None:
        with suppress(OSError):
            request.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        request.transport.abort()


async def _plain(request: web.Request) -> AsyncIterator[bytes]:
    try:
        while data := await request.content.readany():
            request.app[MEASURES].uploaded += len(data)
            yield data
    except (HttpProcessingError, aiohttp.ClientPayloadError) as exc:
        raise InvalidImage(problem="the request's body is malformed or ends too early") from exc


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """The content of the part called "file". Raises InvalidInput without one, InvalidImage when it is cut off."""
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name == "file":
                while data := await part.read_chunk(_PART_PIECE):
                    request.app[MEASURES].uploaded += len(data)
                    yield bytes(data)
                return
    except (ValueError, HttpProcessingError) as exc:
        raise InvalidImage(problem="the multipart body is malformed or ends too early") from exc
    raise InvalidInput({"file": "is missing"})

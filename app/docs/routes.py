"""The reference of the API as a page: of files that we ship, so that it works without another server."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(prefix="/docs", include_in_schema=False)

_STATIC = Path(__file__).parent / "static"
# Its own files and the API, and nothing of anybody else's. The viewer sets styles on its elements.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # Kept, and asked for whether it is still the same.
    "Cache-Control": "no-cache",
}

_TYPES = {"docs.css": "text/css", "openapi-explorer.min.js": "text/javascript"}


@router.get("")
async def get_docs() -> FileResponse:
    """The page."""
    return FileResponse(_STATIC / "index.html", headers=_HEADERS, media_type="text/html")


@router.get("/{name}")
async def get_docs_file(name: Literal["docs.css", "openapi-explorer.min.js"]) -> FileResponse:
    """What the page loads."""
    return FileResponse(_STATIC / name, headers=_HEADERS, media_type=_TYPES[name])

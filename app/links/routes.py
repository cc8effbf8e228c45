"""The pages that links in mails lead to: of files that we ship.

To get one consumes nothing, since scanners of mail follow links: its button posts what the link carries. That stays
behind the ``#``, so that no server on the way and no log sees it.
"""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(prefix="/links", include_in_schema=False)

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    # Its own files and the API, and nothing of anybody else's. Forms are posted by the script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_TYPES = {"links.css": "text/css", "links.js": "text/javascript"}


@router.get("/{page}")
async def get_link_page(page: Literal["magic-link", "invitation", "password-reset"]) -> FileResponse:
    """The page."""
    return FileResponse(_STATIC / f"{page}.html", headers=_HEADERS, media_type="text/html")


@router.get("/static/{name}")
async def get_link_file(name: Literal["links.css", "links.js"]) -> FileResponse:
    """What a page loads."""
    return FileResponse(_STATIC / name, headers=_HEADERS, media_type=_TYPES[name])

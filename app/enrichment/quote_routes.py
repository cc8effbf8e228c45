"""Quotes over HTTP."""

from fastapi import APIRouter, Request

from app.deps import BODY_ERRORS, Resources
from app.enrichment import quotes, requests
from app.enrichment.quote_schemas import QuoteOut
from app.enrichment.requests import JOB_REQUEST, EnrichmentWriter, job_request
from app.envelope import Envelope, envelope, errors

router = APIRouter(prefix="/workspaces/{workspace_id}/enrichment/quotes", tags=["Enrichment"])


@router.post(
    "",
    operation_id="quote_enrichment_job",
    summary="Say what a job would cost",
    responses=errors(*BODY_ERRORS),
    openapi_extra=JOB_REQUEST,
)
async def quote_enrichment_job(request: Request, caller: EnrichmentWriter, opened: Resources) -> Envelope[QuoteOut]:
    """The body is that of a job. Nothing is started, held or stored."""
    async with job_request(request, caller, max_rows=opened.settings.enrichment.max_rows) as wanted:
        quote = await quotes.quote(
            opened.sessions,
            caller.workspace_id,
            wanted.intake,
            wanted.options,
            opened.offers,
            await requests.default_providers(caller, opened),
            within=wanted.within,
        )
    return envelope(QuoteOut.of(quote))

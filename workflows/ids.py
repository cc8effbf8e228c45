"""Workflow ids as functions of business keys: one job, one id, so that a second start is refused by Temporal."""

import re

_ENRICHMENT_JOB = "enrichment-job"
_CLOSE_WORKSPACE = "close-workspace"
_CREDENTIAL_VERIFICATION = "credential-verification"
_ERASURE = "erasure"
_REDRIVE = "redrive"
_WEBHOOK_ENDPOINT = "webhook-endpoint"
_BILLING_CUSTOMER = "billing-customer"
_BILLING_PAGE = "billing-page"

_NAMES = (
    _ENRICHMENT_JOB,
    _CLOSE_WORKSPACE,
    _CREDENTIAL_VERIFICATION,
    _ERASURE,
    _REDRIVE,
    _WEBHOOK_ENDPOINT,
    _BILLING_CUSTOMER,
    _BILLING_PAGE,
)
_FORM = re.compile(rf"(?:{'|'.join(_NAMES)})/[0-9a-f-]{{36}}", re.ASCII)


def enrichment_job(job_id: str) -> str:
    return f"{_ENRICHMENT_JOB}/{job_id}"


def close_workspace(workspace_id: str) -> str:
    return f"{_CLOSE_WORKSPACE}/{workspace_id}"


def credential_verification(verification_id: str) -> str:
    return f"{_CREDENTIAL_VERIFICATION}/{verification_id}"


def erasure(erasure_id: str) -> str:
    return f"{_ERASURE}/{erasure_id}"


def redrive(redrive_id: str) -> str:
    return f"{_REDRIVE}/{redrive_id}"


def webhook_endpoint(endpoint_id: str) -> str:
    return f"{_WEBHOOK_ENDPOINT}/{endpoint_id}"


def billing_customer(workspace_id: str) -> str:
    return f"{_BILLING_CUSTOMER}/{workspace_id}"


def billing_page(page_id: str) -> str:
    return f"{_BILLING_PAGE}/{page_id}"


def is_of_a_workspace(workflow_id: str) -> bool:
    """Whether it has the form of one of these; whose it is, Temporal knows."""
    return _FORM.fullmatch(workflow_id) is not None

"""Workflow ids as functions of business keys: one job, one id, so that a second start is refused by Temporal."""


def enrichment_job(job_id: str) -> str:
    return f"enrichment-job/{job_id}"

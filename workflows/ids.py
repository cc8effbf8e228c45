"""Workflow ids as functions of business keys: one job, one id, so that a second start is refused by Temporal."""


def enrichment_job(job_id: str) -> str:
    return f"enrichment-job/{job_id}"


def close_workspace(workspace_id: str) -> str:
    return f"close-workspace/{workspace_id}"


def credential_verification(verification_id: str) -> str:
    return f"credential-verification/{verification_id}"

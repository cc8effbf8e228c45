"""Every workflow that the worker runs."""

from workflows.credentials import VerifyCredential
from workflows.enrichment import EnrichRecords
from workflows.ledger import AuditLedger
from workflows.workspaces import CloseWorkspace

WORKFLOWS = [EnrichRecords, AuditLedger, CloseWorkspace, VerifyCredential]

"""Every workflow that the worker runs."""

from workflows.credentials import VerifyCredential
from workflows.deadletters import RedriveDeadLetters
from workflows.enrichment import EnrichRecords
from workflows.erasures import EraseSubject
from workflows.ledger import AuditLedger
from workflows.webhooks import DeliverWebhooks
from workflows.workspaces import CloseWorkspace

WORKFLOWS = [
    EnrichRecords,
    AuditLedger,
    CloseWorkspace,
    VerifyCredential,
    EraseSubject,
    RedriveDeadLetters,
    DeliverWebhooks,
]

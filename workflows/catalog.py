"""Every workflow that the worker runs."""

from workflows.billing import SyncCustomer
from workflows.checkout import OpenBillingPage
from workflows.credentials import VerifyCredential
from workflows.deadletters import RedriveDeadLetters
from workflows.enrichment import EnrichRecords
from workflows.erasures import EraseSubject
from workflows.ledger import AuditLedger
from workflows.reconciliation import ReconcileBilling
from workflows.usage import ReportUsage
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
    SyncCustomer,
    OpenBillingPage,
    ReconcileBilling,
    ReportUsage,
]

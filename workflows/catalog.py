"""Every workflow that the worker runs."""

from workflows.enrichment import EnrichRecords

WORKFLOWS = [EnrichRecords]

"""What workflows name and what activities do are the same: names and methods, class by class."""

import inspect
from abc import ABC

import pytest
from temporalio import activity, workflow

from activities.billing import Billing
from activities.credentials import Credentials
from activities.deadletters import Redriving
from activities.enrichment import Enrichment
from activities.ledger import Ledger
from activities.webhooks import Webhooks
from activities.workspaces import Closing
from workflows.catalog import WORKFLOWS
from workflows.contracts.billing import BillingActivities
from workflows.contracts.credentials import CredentialActivities
from workflows.contracts.deadletters import RedriveActivities
from workflows.contracts.enrichment import EnrichmentActivities
from workflows.contracts.ledger import LedgerActivities
from workflows.contracts.webhooks import WebhookActivities
from workflows.contracts.workspaces import ClosingActivities

PLUGS: list[tuple[type[ABC], type]] = [
    (EnrichmentActivities, Enrichment),
    (LedgerActivities, Ledger),
    (CredentialActivities, Credentials),
    (ClosingActivities, Closing),
    (WebhookActivities, Webhooks),
    (RedriveActivities, Redriving),
    (BillingActivities, Billing),
]


def definitions(owner: type) -> dict[str, str | None]:
    """Method → name of its activity definition."""
    found = {}
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        definition = activity._Definition.from_callable(method)  # noqa: SLF001  # the SDK offers no other way to ask
        if definition is not None:
            found[name] = definition.name
    return found


@pytest.mark.parametrize(("contract", "plug"), PLUGS)
def test_each_activity_is_defined_under_the_name_of_its_contract(contract: type, plug: type) -> None:
    assert definitions(contract)
    assert definitions(plug) == definitions(contract)


@pytest.mark.parametrize(("contract", "plug"), PLUGS)
def test_each_promise_is_kept_by_the_plug(contract: type, plug: type) -> None:
    assert not inspect.isabstract(plug)
    for name in definitions(contract):
        assert inspect.signature(getattr(plug, name)) == inspect.signature(getattr(contract, name))


@pytest.mark.parametrize("defined", WORKFLOWS)
def test_each_workflow_has_a_name_of_its_own(defined: type) -> None:
    definition = workflow._Definition.from_class(defined)  # noqa: SLF001  # the SDK offers no other way to ask
    assert definition is not None
    assert definition.name == defined.__name__

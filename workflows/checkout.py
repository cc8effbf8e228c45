"""A page of the payment provider, for which somebody may be waiting."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows import options
from workflows.contracts.checkout import CheckoutActivities, PageGivenUp, PageOpened, PageRef

# Nobody called the provider in time.
_UNKNOWN = "provider_unavailable"


@workflow.defn(name="OpenBillingPage")
class OpenBillingPage:
    """Have the page opened, for as long as somebody may care; then say that there will be none."""

    @workflow.run
    async def run(self, page: PageRef) -> PageOpened:
        opened: PageOpened
        try:
            opened = await workflow.execute_activity_method(
                CheckoutActivities.open_page, page, summary="ask stripe", **options.verification("stripe")
            )
        except ActivityError as error:  # also cancelled in the Temporal UI: it is over, however it ended
            given_up = PageGivenUp(page.workspace_id, page.page_id, _reason(error))
            opened = await workflow.execute_activity_method(
                CheckoutActivities.give_up, given_up, summary="give up", **options.database()
            )
        return opened


def _reason(error: ActivityError) -> str:
    cause = error.cause
    return cause.type or _UNKNOWN if isinstance(cause, ApplicationError) else _UNKNOWN

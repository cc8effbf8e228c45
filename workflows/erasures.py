"""The erasure of a person or a company from all that a workspace has."""

from temporalio import workflow

from workflows import options
from workflows.contracts.erasures import Erased, ErasePage, ErasureActivities, ErasureRef, PageErased

# Records first: by them it is known which of the others are about the subject.
_PLACES = (
    ErasureActivities.erase_records,
    ErasureActivities.erase_raw_answers,
    ErasureActivities.erase_events,
    ErasureActivities.erase_remembered_answers,
)


@workflow.defn(name="EraseSubject")
class EraseSubject:
    """Look through everything; and once more when the last call has ended that was under way meanwhile."""

    @workflow.run
    async def run(self, erasure: ErasureRef) -> Erased:
        if await self._erase(erasure, is_second=False):
            await workflow.sleep(options.LONGEST_LOOKUP)
            await self._erase(erasure, is_second=True)
        erased: Erased = await workflow.execute_activity_method(
            ErasureActivities.finish_erasure, erasure, summary="finish erasure", **options.database()
        )
        return erased

    async def _erase(self, erasure: ErasureRef, *, is_second: bool) -> bool:
        """Page by page; whether something may come back."""
        again = False
        for place in _PLACES:
            after: str | None = ""
            while after is not None:
                page: PageErased = await workflow.execute_activity_method(
                    place,
                    ErasePage(erasure.workspace_id, erasure.erasure_id, after, is_second),
                    summary=place.__name__.replace("_", " "),
                    **options.database(),
                )
                again = again or page.again
                after = page.after
        return again

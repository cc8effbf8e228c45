"""The check of a provider credential, for which somebody may be waiting."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import options
from workflows.contracts.credentials import CredentialActivities, Verification, Verified


@workflow.defn(name="VerifyCredential")
class VerifyCredential:
    """Ask the provider, for as long as somebody may care; then leave the credential as it was."""

    @workflow.run
    async def run(self, command: Verification) -> Verified:
        verified: Verified
        try:
            verified = await workflow.execute_activity_method(
                CredentialActivities.verify,
                command,
                summary=f"ask {command.provider}",
                **options.verification(command.provider),
            )
        except ActivityError:  # also cancelled in the Temporal UI: the check is over, however it ended
            verified = await workflow.execute_activity_method(
                CredentialActivities.give_up, command, summary="give up", **options.database()
            )
        return verified

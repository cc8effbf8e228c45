"""What can be wrong with an enrichment job."""

from app.errors import AppError, Conflict


class JobFinished(Conflict):
    """The job has ended; nothing about it can be changed."""

    code = "job_finished"


class JobNotFinished(Conflict):
    """The job has not ended: wait for its end, or cancel it, first."""

    code = "job_not_finished"


class JobCancelling(Conflict):
    """The job is being cancelled, which cannot be taken back."""

    code = "job_cancelling"


class NothingToRetry(Conflict):
    """No record of the job failed or was skipped in a way that another try could change."""

    code = "nothing_to_retry"


class LookupPostponed(AppError):
    """A lookup that cannot go on now, and must not end either: Temporal asks again after `retry_after` seconds.

    The reasons are harmless: records to try again, a pause that is about to cancel the lookup, a worker going down.
    """

    code = "lookup_postponed"
    status = 503
    retryable = True

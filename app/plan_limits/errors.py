"""What can be wrong with what a plan allows."""

from app.errors import AppError


class PlanLimitExceeded(AppError):
    """The workspace's plan allows less than this. Nothing was done; what is there stays."""

    code = "plan_limit_exceeded"
    status = 402

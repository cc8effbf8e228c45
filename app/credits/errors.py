"""What can be wrong with credits."""

from app.errors import AppError


class InsufficientCredits(AppError):
    """The workspace has fewer credits available than the work may cost. Nothing was started."""

    code = "insufficient_credits"
    status = 402

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(
            f"This needs {needed} credits and {available} are available. Buy credits, or limit the cost (max_credits)."
        )

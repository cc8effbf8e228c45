"""What can be wrong with signing in."""

from app.errors import AppError, Conflict, Detail, InvalidRequest, Unauthenticated, Unavailable


class SignInNotConfigured(Unavailable):
    """This installation has no signing key: people cannot sign in, API keys are the only way in."""

    code = "sign_in_not_configured"
    retryable = False

    def __init__(self) -> None:
        super().__init__("People cannot sign in here: the operator has set no HOLDFAST_AUTH__SIGNING_KEYS.")


class AddressTaken(Conflict):
    """Somebody has registered with this address."""

    code = "address_taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this address: sign in, or ask for a magic link.")


class WrongPassword(Unauthenticated):
    """The address or the password is wrong; which of them is not said."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("The address or the password is wrong.")


class TooManyAttempts(AppError):
    """Too many attempts have failed: wait for `Retry-After` seconds. Each further one makes the wait longer."""

    code = "too_many_attempts"
    status = 429
    retryable = True

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many attempts have failed: wait, or sign in by a magic link.", retry_after=retry_after)


class SignInEnded(Unauthenticated):
    """The refresh token is unknown, was used before, or belongs to a sign-in that has ended: sign in again."""

    code = "sign_in_ended"

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid, or its sign-in has ended: sign in again.")


class LinkNotValid(InvalidRequest):
    """The link was used, has expired, or never was one: ask for a new one."""

    code = "link_not_valid"

    def __init__(self) -> None:
        super().__init__("The link was used before, has expired, or is not complete: ask for a new one.")


class NoPassword(Conflict):
    """The account has no password: set one by a password reset."""

    code = "no_password"

    def __init__(self) -> None:
        super().__init__("This account has no password: ask for a password reset to set one.")


class PresentPasswordWrong(InvalidRequest):
    """The present password is wrong: nothing was changed."""

    code = "present_password_wrong"

    def __init__(self) -> None:
        super().__init__(
            "The present password is wrong.", details=[Detail("current_password", "is not the present password")]
        )

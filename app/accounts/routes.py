"""Signing in over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.accounts import links, service
from app.accounts.errors import (
    AddressTaken,
    LinkNotValid,
    NoPassword,
    PresentPasswordWrong,
    SignInEnded,
    SignInNotConfigured,
    TooManyAttempts,
    WrongPassword,
)
from app.accounts.links import Purpose
from app.accounts.schemas import (
    AddressIn,
    LinkIn,
    LoginIn,
    MailAskedOut,
    MeIn,
    PasswordChangeIn,
    PasswordResetIn,
    RefreshIn,
    RegisteredOut,
    RegisterIn,
    SignedInOut,
    TokensOut,
    UserOut,
)
from app.accounts.service import Door
from app.auth.dependencies import AccessTokensDep, anybody, person
from app.auth.permissions import Person
from app.deps import BODY_ERRORS, Resources, SessionsDep, SettingsDep, json_body, json_request
from app.envelope import Envelope, envelope, errors
from app.errors import InvalidRequest, RateLimited, Unavailable

router = APIRouter(prefix="/auth", tags=["Auth"])

SignedInPerson = Annotated[Person, person()]
# Said with the others of the same status: what an operation names replaces what all have.
_NOT_CONFIGURED = (Unavailable, SignInNotConfigured)
_LIMITS = (RateLimited, TooManyAttempts)


async def _door(request: Request, sessions: SessionsDep, tokens: AccessTokensDep, settings: SettingsDep) -> Door:
    if not tokens.signing_keys:
        raise SignInNotConfigured
    return Door(sessions, tokens, request.app.state.passwords, settings)


DoorDep = Annotated[Door, Depends(_door)]


@router.post(
    "/register",
    operation_id="register_account",
    summary="Make an account",
    status_code=201,
    dependencies=[anybody()],
    responses=errors(AddressTaken, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(RegisterIn),
)
async def register_account(
    door: DoorDep, body: Annotated[RegisterIn, json_body(RegisterIn)]
) -> Envelope[RegisteredOut]:
    """A person, who is signed in, and their first workspace with its first credits."""
    password = body.password.get_secret_value()
    return envelope(RegisteredOut.of(await service.register(door, email=body.email, name=body.name, password=password)))


@router.post(
    "/login",
    operation_id="log_in",
    summary="Sign in by password",
    dependencies=[anybody()],
    responses=errors(WrongPassword, *_LIMITS, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(LoginIn),
)
async def log_in(
    request: Request, door: DoorDep, body: Annotated[LoginIn, json_body(LoginIn)]
) -> Envelope[SignedInOut]:
    """Address and password. An unknown address and a wrong password are answered alike.

    After some failures the address, and with many the client, must wait, longer each time.
    """
    signed_in = await service.log_in(
        door,
        email=body.email,
        password=body.password.get_secret_value(),
        client_address=request.state.client_address,
    )
    return envelope(SignedInOut.of(signed_in))


@router.post(
    "/refresh",
    operation_id="refresh_tokens",
    summary="Get new tokens",
    dependencies=[anybody()],
    responses=errors(SignInEnded, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(RefreshIn),
)
async def refresh_tokens(door: DoorDep, body: Annotated[RefreshIn, json_body(RefreshIn)]) -> Envelope[TokensOut]:
    """New tokens for a refresh token, which is good for one use. One that was used before ends its sign-in: somebody
    else may have it."""
    return envelope(TokensOut.of(await service.refresh(door, body.refresh_token.get_secret_value())))


@router.post("/logout", operation_id="log_out", summary="Sign out", status_code=204, response_class=Response)
async def log_out(person: SignedInPerson, sessions: SessionsDep) -> None:
    """End this sign-in: its tokens open nothing from now on."""
    await service.log_out(sessions, person)


@router.delete(
    "/sessions",
    operation_id="log_out_everywhere",
    summary="Sign out everywhere",
    status_code=204,
    response_class=Response,
)
async def log_out_everywhere(person: SignedInPerson, sessions: SessionsDep) -> None:
    """End every sign-in of yours, this one too."""
    await service.log_out_everywhere(sessions, person)


@router.get("/me", operation_id="get_me", summary="Get your account")
async def get_me(person: SignedInPerson, sessions: SessionsDep) -> Envelope[UserOut]:
    """Who is signed in."""
    return envelope(UserOut.of(await service.get_me(sessions, person)))


@router.patch(
    "/me",
    operation_id="update_me",
    summary="Change your account",
    responses=errors(*BODY_ERRORS),
    openapi_extra=json_request(MeIn),
)
async def update_me(
    person: SignedInPerson, sessions: SessionsDep, body: Annotated[MeIn, json_body(MeIn)]
) -> Envelope[UserOut]:
    """The name. An address cannot be changed."""
    return envelope(UserOut.of(await service.rename_me(sessions, person, body.name)))


@router.post(
    "/password",
    operation_id="change_password",
    summary="Change your password",
    status_code=204,
    response_class=Response,
    responses=errors(NoPassword, PresentPasswordWrong, *_LIMITS, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(PasswordChangeIn),
)
async def change_password(
    request: Request,
    person: SignedInPerson,
    door: DoorDep,
    body: Annotated[PasswordChangeIn, json_body(PasswordChangeIn)],
) -> None:
    """Needs the present password. Every other sign-in of yours ends."""
    await service.change_password(
        door,
        person,
        present=body.current_password.get_secret_value(),
        new=body.new_password.get_secret_value(),
        client_address=request.state.client_address,
    )


@router.post(
    "/magic-links",
    operation_id="request_magic_link",
    summary="Ask for a magic link",
    status_code=202,
    dependencies=[anybody(), Depends(_door)],
    responses=errors(*BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(AddressIn),
)
async def request_magic_link(
    opened: Resources, body: Annotated[AddressIn, json_body(AddressIn)]
) -> Envelope[MailAskedOut]:
    """A link to sign in with, by mail. The answer is the same whether there is such an account."""
    return _asked(opened, body.email, "magic_link")


@router.post(
    "/magic-links/consume",
    operation_id="consume_magic_link",
    summary="Sign in by a magic link",
    dependencies=[anybody()],
    responses=errors(InvalidRequest, LinkNotValid, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(LinkIn),
)
async def consume_magic_link(door: DoorDep, body: Annotated[LinkIn, json_body(LinkIn)]) -> Envelope[SignedInOut]:
    """Works once. It verifies the address; of an account whose address was not, the password, the sign-ins and the
    API keys end: somebody else may have made it."""
    return envelope(SignedInOut.of(await service.consume_magic_link(door, body.token.get_secret_value())))


@router.post(
    "/password-resets",
    operation_id="request_password_reset",
    summary="Ask for a new password",
    status_code=202,
    dependencies=[anybody(), Depends(_door)],
    responses=errors(*BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(AddressIn),
)
async def request_password_reset(
    opened: Resources, body: Annotated[AddressIn, json_body(AddressIn)]
) -> Envelope[MailAskedOut]:
    """A link to set a password with, by mail. The answer is the same whether there is such an account."""
    return _asked(opened, body.email, "password_reset")


@router.post(
    "/password-resets/consume",
    operation_id="reset_password",
    summary="Set a password by a link",
    dependencies=[anybody()],
    responses=errors(InvalidRequest, LinkNotValid, *BODY_ERRORS, *_NOT_CONFIGURED),
    openapi_extra=json_request(PasswordResetIn),
)
async def reset_password(
    door: DoorDep, body: Annotated[PasswordResetIn, json_body(PasswordResetIn)]
) -> Envelope[SignedInOut]:
    """Works once. Every sign-in ends, and a new one begins."""
    token, password = body.token.get_secret_value(), body.password.get_secret_value()
    return envelope(SignedInOut.of(await service.reset_password(door, token, password)))


def _asked(opened: Resources, email: str, purpose: Purpose) -> Envelope[MailAskedOut]:
    links.send(opened.sessions, opened.mails, opened.settings, email, purpose)
    return envelope(MailAskedOut(email=email, valid_for_seconds=opened.settings.auth.link_seconds))

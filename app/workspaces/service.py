"""Workspaces: the tenants of an installation. They are made, named, set up and deleted here."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from app.audit_log import service as audit_log
from app.auth.permissions import ROLE_PERMISSIONS, Caller, Role
from app.cache import Cache
from app.credentials import service as credentials
from app.credits import service as credits
from app.db import Session, Sessions, enter_workspace, new_id
from app.errors import NoSuchWorkspace
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered, Scope
from app.idempotency.service import fingerprint
from app.outbox import service as outbox
from app.team import service as team
from app.webhooks import management as webhooks
from app.workspaces import repository
from app.workspaces.errors import TooManyWorkspaces
from app.workspaces.repository import Workspace
from workflows import ids

MAX_OWNED = 100

_SETTINGS = "workspace_settings"
# As Idempotency-Keys know the operation.
_CREATE = "POST /workspaces"


async def create_workspace(session: Session, name: str) -> UUID:
    """Make a workspace without keys and credits; its id. The session must be the owner's."""
    workspace_id = new_id()
    await repository.add(session, workspace_id, name)
    return workspace_id


async def create_workspace_for(session: Session, user_id: UUID, name: str, signup_grant: int) -> UUID:
    """Make a workspace that this person owns, with an account of `signup_grant` credits; its id.

    The session is `for_user`, and from here on of the new workspace too.
    """
    workspace_id = new_id()
    await enter_workspace(session, workspace_id)
    await repository.add(session, workspace_id, name)
    await team.add_owner(session, workspace_id, user_id)
    owner = Caller(workspace_id, ROLE_PERMISSIONS["owner"], "owner", user_id=user_id)
    target = ("workspace", str(workspace_id))
    await audit_log.record(session, workspace_id, owner, "workspace.create", target, after={"name": name})
    if signup_grant:
        await credits.grant(session, workspace_id, signup_grant, key="signup", reason="the first credits")
    return workspace_id


async def create_another(
    sessions: Sessions,
    user_id: UUID,
    name: str,
    signup_grant: int,
    answer: Callable[[Workspace], Remembered],
    *,
    key: str | None,
) -> tuple[Remembered, bool]:
    """Make a workspace for whoever is signed in, once for each `key` of theirs.

    `answer` says what they are told of it. Also returned: whether that was the answer to an earlier request. Raises
    TooManyWorkspaces, IdempotencyKeyReused. Two requests of one person are never worked on at the same time.
    """
    asked = fingerprint({"name": name})
    async with sessions.for_user(user_id) as session:
        owned = await repository.lock_and_count_owned(session, user_id)
        if key is not None and (made := await repository.made_once(session, user_id, _CREATE, key)):
            await enter_workspace(session, made)
            if first := await idempotency.replay_or_begin(session, Once(Scope(made, user_id, _CREATE), key, asked)):
                return first, True
        if owned >= MAX_OWNED:
            raise TooManyWorkspaces(f"You own {MAX_OWNED} workspaces, as many as one can: delete one first.")
        workspace_id = await create_workspace_for(session, user_id, name, signup_grant)
        said = answer(await repository.workspace(session, workspace_id, "owner"))
        if key is not None:
            await idempotency.remember(session, Once(Scope(workspace_id, user_id, _CREATE), key, asked), said)
        return said, False


async def read_workspace(session: Session, workspace_id: UUID, role: Role) -> Workspace:
    """The workspace as somebody sees it who has `role` there; the session is of the workspace."""
    return await repository.workspace(session, workspace_id, role)


async def find_workspace(session: Session, name: str) -> UUID | None:
    """The oldest workspace of that name that the session can see."""
    return await repository.find_by_name(session, name)


async def list_workspaces(sessions: Sessions, user_id: UUID, *, before: UUID | None, limit: int) -> list[Workspace]:
    """Those that the person is a member of, the newest first; `before` continues after the last one seen."""
    async with sessions.unscoped() as session:
        return await repository.of_person(session, user_id, before=before, limit=limit)


async def get_workspace(sessions: Sessions, caller: Caller) -> Workspace:
    """The caller's workspace."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        return await repository.workspace(session, caller.workspace_id, caller.role)


async def update_workspace(
    sessions: Sessions, cache: Cache, caller: Caller, name: str | None, settings: Mapping[str, Any]
) -> Workspace:
    """Change the name where there is a new one, and these settings; None takes a setting back. Raises NotFound."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        await team.lock(session, caller.workspace_id)
        before = await repository.workspace(session, caller.workspace_id, caller.role)
        if name is not None:
            await repository.rename(session, caller.workspace_id, name)
        if settings:
            await repository.change_settings(session, caller.workspace_id, settings)
        after = await repository.workspace(session, caller.workspace_id, caller.role)
        was, now = _told(before), _told(after)
        changed = [part for part in now if was[part] != now[part]]
        if changed:
            await audit_log.record(
                session,
                caller.workspace_id,
                caller,
                "workspace.update",
                ("workspace", str(caller.workspace_id)),
                before={part: was[part] for part in changed},
                after={part: now[part] for part in changed},
            )
    if settings:
        await cache.forget(_SETTINGS, str(caller.workspace_id))
    return after


async def delete_workspace(sessions: Sessions, caller: Caller) -> Workspace:
    """Lock everybody out, and have CloseWorkspace end what still runs. Raises NotFound."""
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        name = await team.lock(session, workspace_id)
        await repository.delete(session, workspace_id)
        target = ("workspace", str(workspace_id))
        await audit_log.record(session, workspace_id, caller, "workspace.delete", target, before={"name": name})
        await _start_closing(session, workspace_id)
        return await repository.workspace(session, workspace_id, caller.role)


async def settings_of(sessions: Sessions, cache: Cache, workspace_id: UUID) -> Mapping[str, Any]:
    """The settings of the workspace that are set, from the cache where they are kept there."""

    async def read() -> bytes:
        async with sessions.for_workspace(workspace_id) as session:
            return orjson.dumps(dict(await repository.settings(session, workspace_id)))

    found: Mapping[str, Any] = orjson.loads(await cache.get_or_set(_SETTINGS, str(workspace_id), read))
    return found


async def set_plan(session: Session, workspace_id: UUID, plan: str) -> None:
    """Have the workspace be allowed what the plan of this name allows, from now on: what is there already stays."""
    await repository.set_plan(session, workspace_id, plan)


async def keep_open(session: Session, workspace_id: UUID) -> None:
    """For what starts work: the workspace is not deleted, nor will it be before the end of this transaction.

    Raises NoSuchWorkspace.
    """
    if not await repository.keep_open(session, workspace_id):
        raise NoSuchWorkspace


async def close_again(sessions: Sessions, workspace_id: UUID) -> None:
    """Start the closing of a deleted workspace again, of which Temporal knows nothing or which ended there before the
    workspace was closed."""
    async with sessions.for_workspace(workspace_id) as session:
        if await repository.lock_closing(session, workspace_id):
            await _start_closing(session, workspace_id, again=True)


async def close_once_more(session: Session, workspace_id: UUID) -> None:
    """For what turns up of a workspace that is closed already, and has to be ended too. Another one stays as it is."""
    if await repository.unmark_closed(session, workspace_id):
        await _start_closing(session, workspace_id, again=True)


async def erase_secrets(sessions: Sessions, workspace_id: UUID) -> None:
    """Erase the secrets that a deleted workspace left with us."""
    async with sessions.for_workspace(workspace_id) as session:
        await _erase_secrets(session, workspace_id)


async def finish_closing(sessions: Sessions, workspace_id: UUID) -> int:
    """Say that nothing of a deleted workspace runs any more; how many credits are still held, and must not be.

    The secrets that it left with us are erased in any case. While credits are held it is not closed.
    """
    async with sessions.for_workspace(workspace_id) as session:
        await _erase_secrets(session, workspace_id)
        held = (await credits.balance(session, workspace_id)).held
        if held == 0:
            await repository.mark_closed(session, workspace_id)
    return held


async def _erase_secrets(session: Session, workspace_id: UUID) -> None:
    await credentials.erase(session, workspace_id)
    await webhooks.erase(session, workspace_id)


async def _start_closing(session: Session, workspace_id: UUID, *, again: bool = False) -> None:
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="CloseWorkspace",
        workflow_id=ids.close_workspace(str(workspace_id)),
        argument={"workspace_id": str(workspace_id)},
        summary="close a deleted workspace",
        process="workspaces",
        again=again,
    )


def _told(workspace: Workspace) -> dict[str, Any]:
    return {"name": workspace.name, "settings": dict(workspace.settings)}

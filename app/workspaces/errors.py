"""What can be wrong with workspaces."""

from app.errors import Conflict


class TooManyWorkspaces(Conflict):
    """The person owns as many workspaces as one can."""

    code = "too_many_workspaces"

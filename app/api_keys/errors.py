"""What can be wrong with API keys."""

from app.errors import Conflict


class TooManyApiKeys(Conflict):
    """The workspace has as many keys as there can be: revoke one that is not used."""

    code = "too_many_api_keys"

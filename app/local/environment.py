"""The environment of each child: what we were given, minus what it must not see, plus where the stack's servers are.

Settings of providers that the user made win over those of the sandbox. Where the servers are is not the user's to
say: a stack that was given the address of a production database by a forgotten variable must not touch it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.local.ports import LOOPBACK

# Not imported from app.settings, which would bring SQLAlchemy and pydantic into the supervisor.
_PREFIX = "HOLDFAST_"

# Whoever holds it can sign in as anybody.
_SIGNING_KEYS = "HOLDFAST_AUTH__SIGNING_KEYS"
# Whoever holds it can read provider credentials, of the database that it belongs to.
_ENCRYPTION_KEYS = "HOLDFAST_CREDENTIALS__KEYS"
# With it the user's own account at Stripe takes the place of the sandbox's.
_STRIPE_KEY = "HOLDFAST_PROVIDERS__STRIPE__API_KEY"
# Of the sandbox, which knows no settings of ours.
_SANDBOX_WEBHOOK_SECRET = "SANDBOX_STRIPE_WEBHOOK_SECRET"  # noqa: S105  the name of a variable
# Whoever holds these can see every workspace.
_PRIVILEGED = ("HOLDFAST_PLATFORM_DATABASE_URL", "HOLDFAST_OWNER_DATABASE_URL")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers of this stack are, and what it signs, encrypts and mails with. `sandbox_port` and `dns_port`
    are None without the sandbox."""

    app_url: str
    platform_url: str
    owner_url: str
    api_port: int
    signing_key: str
    encryption_key: str
    webhook_secret: str
    mail_directory: Path
    temporal_port: int
    temporal_ui_port: int
    sandbox_port: int | None
    dns_port: int | None

    @property
    def temporal_address(self) -> str:
        return f"{LOOPBACK}:{self.temporal_port}"

    @property
    def temporal_ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self.temporal_ui_port}"

    @property
    def stripe_webhook_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}/api/v1/billing/stripe/events"

    @property
    def sandbox_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self.sandbox_port}" if self.sandbox_port else None


def plain() -> dict[str, str]:
    """For the servers that are not ours: nothing of Holdfast's, which holds secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}


def sandbox(addresses: Addresses) -> dict[str, str]:
    return {**plain(), _SANDBOX_WEBHOOK_SECRET: addresses.webhook_secret}


def api(addresses: Addresses) -> dict[str, str]:
    """Never with the platform's role: a request must not be able to leave its workspace."""
    given = {
        name: value
        for name, value in os.environ.items()
        if name not in _PRIVILEGED and not name.startswith(_ENCRYPTION_KEYS)
    }
    given.pop("HOLDFAST_TEMPORAL__API_KEY", None)
    return {**_sandbox(addresses), **_people(addresses), **given, **_servers(addresses)}


def worker(addresses: Addresses, *, metrics_port: int) -> dict[str, str]:
    return {
        **_without_signing_keys(api(addresses)),
        "HOLDFAST_PLATFORM_DATABASE_URL": addresses.platform_url,
        "HOLDFAST_WORKER_METRICS_PORT": str(metrics_port),
    }


def prepare(addresses: Addresses) -> dict[str, str]:
    return {
        **_without_signing_keys(api(addresses)),
        "HOLDFAST_PLATFORM_DATABASE_URL": addresses.platform_url,
        "HOLDFAST_OWNER_DATABASE_URL": addresses.owner_url,
    }


def writes_mail() -> bool:
    """Whether mails become files of the stack: the user has not said how else they leave."""
    return not any(name.startswith("HOLDFAST_MAIL__") for name in os.environ)


def pays_elsewhere() -> bool:
    """Whether plans are sold by an account of the user's own: the sandbox's Stripe has nothing to tell then."""
    return _STRIPE_KEY in os.environ


def ignored(given: Mapping[str, str]) -> list[str]:
    """The variables of `given` that have no effect here, because the stack brings its own servers."""
    servers = ("HOLDFAST_DATABASE_URL", "HOLDFAST_TEMPORAL__ADDRESS", "HOLDFAST_TEMPORAL__API_KEY")
    own = (*servers, _ENCRYPTION_KEYS, *_PRIVILEGED)
    return [name for name in own if name in given]


def _without_signing_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """People sign in at the API, and nowhere else."""
    return {name: value for name, value in variables.items() if name != _SIGNING_KEYS}


def _people(addresses: Addresses) -> dict[str, str]:
    variables = {
        _SIGNING_KEYS: json.dumps({"local": addresses.signing_key}),
        "HOLDFAST_PUBLIC_URL": f"http://{LOOPBACK}:{addresses.api_port}",
        # Whoever reaches this stack sits at this machine, and so do the receivers that they write.
        "HOLDFAST_WEBHOOKS__ALLOW_PRIVATE": "true",
    }
    if writes_mail():
        variables["HOLDFAST_MAIL__DIRECTORY"] = str(addresses.mail_directory)
    return variables


def _servers(addresses: Addresses) -> dict[str, str]:
    return {
        "HOLDFAST_ENVIRONMENT": "local",
        "HOLDFAST_DATABASE_URL": addresses.app_url,
        "HOLDFAST_TEMPORAL__ADDRESS": addresses.temporal_address,
        "HOLDFAST_TEMPORAL__NAMESPACE": "default",
        "HOLDFAST_TEMPORAL__TLS": "false",
        "HOLDFAST_TEMPORAL__UI_URL": addresses.temporal_ui_url,
        _ENCRYPTION_KEYS: json.dumps({"local": addresses.encryption_key}),
    }


def _sandbox(addresses: Addresses) -> dict[str, str]:
    if addresses.sandbox_url is None:
        return {}
    # The sandbox has no quotas, unless it is told to; a vendor that the user has named instead has.
    unlimited = {
        f"HOLDFAST_PROVIDERS__{vendor}__QUOTAS": "[]"
        for vendor in (
            "HUNTER",
            "HUNTER_VERIFIER",
            "APOLLO",
            "CLEARBIT",
            "PEOPLEDATALABS",
            "GLEIF",
            "WIKIDATA",
            "EDGAR",
            "GITHUB",
            "RDAP",
        )
        if f"HOLDFAST_PROVIDERS__{vendor}__BASE_URL" not in os.environ
    }
    return {
        **unlimited,
        **_stripe(addresses.sandbox_url, addresses),
        "HOLDFAST_PROVIDERS__HUNTER__BASE_URL": f"{addresses.sandbox_url}/hunter/v2",
        "HOLDFAST_PROVIDERS__HUNTER__API_KEY": "sandbox-key",
        "HOLDFAST_PROVIDERS__HUNTER_VERIFIER__BASE_URL": f"{addresses.sandbox_url}/hunter/v2",
        "HOLDFAST_PROVIDERS__HUNTER_VERIFIER__API_KEY": "sandbox-key",
        "HOLDFAST_PROVIDERS__APOLLO__BASE_URL": f"{addresses.sandbox_url}/apollo/api/v1",
        "HOLDFAST_PROVIDERS__APOLLO__API_KEY": "sandbox-key",
        "HOLDFAST_PROVIDERS__CLEARBIT__BASE_URL": f"{addresses.sandbox_url}/clearbit",
        "HOLDFAST_PROVIDERS__CLEARBIT__API_KEY": "sandbox-key",
        "HOLDFAST_PROVIDERS__CLEARBIT__POLL_SECONDS": "2",
        "HOLDFAST_PROVIDERS__PEOPLEDATALABS__BASE_URL": f"{addresses.sandbox_url}/peopledatalabs/v5",
        "HOLDFAST_PROVIDERS__PEOPLEDATALABS__API_KEY": "sandbox-key",
        "HOLDFAST_PROVIDERS__GLEIF__BASE_URL": f"{addresses.sandbox_url}/gleif/api/v1",
        "HOLDFAST_PROVIDERS__WIKIDATA__BASE_URL": f"{addresses.sandbox_url}/wikidata",
        "HOLDFAST_PROVIDERS__EDGAR__BASE_URL": f"{addresses.sandbox_url}/edgar",
        "HOLDFAST_PROVIDERS__GITHUB__BASE_URL": f"{addresses.sandbox_url}/github",
        "HOLDFAST_PROVIDERS__RDAP__BASE_URL": f"{addresses.sandbox_url}/rdap",
        "HOLDFAST_PROVIDERS__WEBSITE__BASE_URL": f"{addresses.sandbox_url}/website",
        "HOLDFAST_PROVIDERS__DNS__RESOLVER": f"{LOOPBACK}:{addresses.dns_port}",
    }


def _stripe(sandbox_url: str, addresses: Addresses) -> dict[str, str]:
    if pays_elsewhere():
        return {}
    return {
        "HOLDFAST_PROVIDERS__STRIPE__BASE_URL": f"{sandbox_url}/stripe",
        "HOLDFAST_PROVIDERS__STRIPE__API_KEY": "sk_test_sandbox",
        "HOLDFAST_PROVIDERS__STRIPE__QUOTAS": "[]",
        "HOLDFAST_PROVIDERS__STRIPE__METER": "holdfast_credits",
        "HOLDFAST_PROVIDERS__STRIPE__METER_ID": "mtr_holdfast_credits",
        "HOLDFAST_BILLING__WEBHOOK_SECRETS": json.dumps([addresses.webhook_secret]),
        "HOLDFAST_BILLING__RETURN_URL": f"http://{LOOPBACK}:{addresses.api_port}",
    }

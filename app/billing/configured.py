"""Whether plans are sold here: what operations of billing ask once they know who calls."""

from typing import Annotated

from fastapi import Depends, Request

from app.billing.errors import BillingNotConfigured
from app.billing.plans import Plans
from app.deps import SettingsDep


async def _configured(settings: SettingsDep) -> None:
    if settings.providers.stripe.api_key is None:
        raise BillingNotConfigured("This installation sells no plans: it has no key to the payment provider.")


# In an operation's signature behind its caller; raises BillingNotConfigured.
Configured = Annotated[None, Depends(_configured)]


async def _plans(request: Request, _: Configured) -> Plans:
    plans: Plans = request.app.state.plans
    return plans


# In place of it for who sells them; raises BillingNotConfigured.
PlansDep = Annotated[Plans, Depends(_plans)]

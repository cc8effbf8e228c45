"""The parts of the emulated Stripe, put together."""

from collections.abc import Callable

from app.sandbox.stripe_calls import Handler
from app.sandbox.stripe_catalog import Catalog
from app.sandbox.stripe_checkout import Checkout
from app.sandbox.stripe_customers import Customers
from app.sandbox.stripe_invoices import Invoices
from app.sandbox.stripe_life import Life
from app.sandbox.stripe_meters import Meters
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.stripe_payments import Payments
from app.sandbox.stripe_subscription_calls import SubscriptionCalls
from app.sandbox.stripe_subscriptions import Subscriptions
from app.sandbox.stripe_webhooks import Webhooks
from app.sandbox.stripe_world import World


class Parts:
    """What there is, and what is done with it. `rules` gives the options in force, `wall` the real time."""

    def __init__(self, rules: Callable[[], StripeOptions], wall: Callable[[], float], seed: int) -> None:
        self.world = world = World(wall)
        self.catalog = Catalog(world)
        self.payments = Payments(world)
        self.invoices = Invoices(world, self.payments, rules)
        self.subscriptions = Subscriptions(world, self.invoices, rules)
        self.customers = Customers(world, self.subscriptions.end)
        self.checkout = Checkout(world, self.customers, self.subscriptions)
        self.life = Life(world, self.customers, self.subscriptions, self.invoices, self.checkout)
        self.meters = Meters(world)
        self.webhooks = Webhooks(world, rules, wall, seed)
        self._calls = SubscriptionCalls(world, self.subscriptions)
        world.listener = self.webhooks.dispatch
        self.stock()

    def stock(self) -> None:
        """Nothing but what is for sale."""
        self.webhooks.forget()
        self.world.clear()
        self.meters.clear()
        self.catalog.stock()
        self.meters.stock()

    def routes(self) -> dict[tuple[str, str], Handler]:
        """All that can be called."""
        rooms = (
            *(self.catalog, self.customers, self._calls, self.invoices, self.payments),
            *(self.checkout, self.life, self.meters, self.webhooks),
        )
        return {route: handler for room in rooms for route, handler in room.routes().items()}

"""OAuth clients and their subscriptions."""

from agavesh.api.record import Record


class Client(Record, kw_only=True):
    """An OAuth client; the secret is told once, when it is made."""

    name: str | None = None  # the client name (request field is clientName)
    description: str | None = None
    consumerKey: str | None = None
    consumerSecret: str | None = None  # only in the answer to create
    tier: str | None = None  # AgavePy spells UNLIMITED etc.
    callbackUrl: str | None = None


class ClientRequest(Record, kw_only=True):
    """A client to be made."""

    clientName: str  # AgavePy resources say name; the service reads clientName
    description: str | None = None
    tier: str | None = None  # UNLIMITED GOLD SILVER BRONZE
    callbackUrl: str | None = None


class Subscription(Record, kw_only=True):
    """An API that a client may use."""

    apiName: str | None = None  # name in older samples
    apiVersion: str | None = None
    apiProvider: str | None = None
    apiContext: str | None = None  # context in older samples
    status: str | None = None  # e.g. PUBLISHED
    tier: str | None = None


class ClientSubscriptionRequest(Record, kw_only=True):
    """A subscription to be made."""

    apiName: str  # "*" resubscribes to all (older form field name)
    apiVersion: str  # e.g. v2
    apiProvider: str  # e.g. admin
    tier: str | None = None  # UNLIMITED GOLD SILVER BRONZE

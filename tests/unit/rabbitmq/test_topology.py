"""The list of who hears what, held against the services."""

from importlib import import_module
from typing import Any

import pytest
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from rabbitmq.declarations import Binding
from rabbitmq.delays import LEVELS
from rabbitmq.event_handler import EventHandler
from rabbitmq.names import DEAD_LETTERS, dead_letters_of
from rabbitmq.outbox import PENDING
from rabbitmq.topology import OUTBOXES, SERVICES, SUBSCRIPTIONS, OutboxPlace, Subscription, everything

#: The class of each service, and the collections it prepares with their indexes.
CLASSES = {
    "auth_svc": "AuthService",
    "concert_svc": "ConcertService",
    "booking_svc": "BookingService",
    "mailer_svc": "MailerService",
}
COLLECTIONS = {
    OutboxPlace("auth_svc", "users"): "auth_svc.users",
    OutboxPlace("booking_svc", "bookings"): "booking_svc.bookings",
    OutboxPlace("concert_svc", "concerts"): "concert_svc.concerts",
    OutboxPlace("mailer_svc", "ledger"): "mailer_svc.ledger",
}

each_subscription = pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda s: s.queue)


def service_class(service: str) -> Any:
    return getattr(import_module(f"{service}.service"), CLASSES[service])


def event_handlers(service: str) -> set[Subscription]:
    """What the class of *service* says it hears."""
    return {
        Subscription(entrypoint.source_service, entrypoint.event_type, service, name)
        for name, member in vars(service_class(service)).items()
        for entrypoint in getattr(member, ENTRYPOINT_EXTENSIONS_ATTR, ())
        if isinstance(entrypoint, EventHandler)
    }


@pytest.mark.parametrize("service", SERVICES)
def test_service_answers_to_the_name_in_the_list(service: str) -> None:
    assert service_class(service).name == service


@pytest.mark.parametrize("service", SERVICES)
def test_service_hears_exactly_what_the_list_says(service: str) -> None:
    assert event_handlers(service) == {s for s in SUBSCRIPTIONS if s.service == service}


@each_subscription
def test_sources_and_hearers_are_services(subscription: Subscription) -> None:
    assert {subscription.source, subscription.service} <= set(SERVICES)


def test_no_two_subscriptions_share_a_queue() -> None:
    assert len({s.queue for s in SUBSCRIPTIONS}) == len(SUBSCRIPTIONS)


@each_subscription
def test_what_a_queue_refuses_rests_under_its_name(subscription: Subscription) -> None:
    arguments = next(queue.arguments for queue in everything().queues if queue.name == subscription.queue)
    assert Binding(DEAD_LETTERS, dead_letters_of(subscription.queue), subscription.queue) in everything().bindings
    assert arguments["x-dead-letter-exchange"] == DEAD_LETTERS
    assert arguments["x-dead-letter-routing-key"] == subscription.queue
    # At-least-once dead-lettering wants a quorum queue that refuses when it is full.
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"


@pytest.mark.parametrize("place", OUTBOXES, ids=lambda p: f"{p.database}.{p.collection}")
def test_outbox_place_is_a_collection_that_has_the_index_of_the_unpublished(place: OutboxPlace) -> None:
    indexes = [index.document for index in import_module(COLLECTIONS[place]).INDEXES]
    unpublished = [index for index in indexes if list(index["key"]) == [PENDING]]
    assert unpublished and unpublished[0]["partialFilterExpression"] == {PENDING: {"$exists": True}}


def test_every_service_that_tells_events_has_an_outbox() -> None:
    assert {s.source for s in SUBSCRIPTIONS} <= {place.database for place in OUTBOXES}


def test_levels_reach_eight_years() -> None:
    assert 2**LEVELS / 86_400 / 365.25 > 8.5

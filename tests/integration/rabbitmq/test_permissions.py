"""What the user of each program may do in the real broker, act by act."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from local import data_dir, private_files
from rabbitmq import delays
from rabbitmq.names import (
    DEAD_LETTERS,
    PROGRAMS,
    RPC_EXCHANGE,
    SERVICES,
    batch_key,
    batch_queue,
    dead_letters_of,
    events_exchange,
    outlet,
    reply_id,
    reply_queue,
    rpc_queue,
)
from rabbitmq.topology import SUBSCRIPTIONS, Subscription
from rabbitmq.users import password_variable
from tests.local_stack import LocalStack
from tests.polling import poll

#: A request that nobody carries out, so that what is allowed does not disturb the services of the run.
NOTHING = b""
QUICK = pika.BasicProperties(expiration="0", delivery_mode=1)

Act = Callable[[BlockingChannel], Any]
AsUser = Callable[[str], BlockingChannel]


@pytest.fixture(scope="module")
def as_user(stack: LocalStack) -> Iterator[AsUser]:
    """A new channel, with confirms, of a user's one connection."""
    secrets = private_files.read_values(data_dir.secrets_file(stack.data_dir))
    port = urlsplit(stack.amqp_uri).port
    connections: dict[str, pika.BlockingConnection] = {}

    def channel(user: str) -> BlockingChannel:
        if user not in connections:
            uri = f"amqp://{user}:{secrets[password_variable(user)]}@127.0.0.1:{port}/"
            connections[user] = pika.BlockingConnection(pika.URLParameters(uri))
        opened = connections[user].channel()
        opened.confirm_delivery()
        return opened

    yield channel
    for connection in connections.values():
        connection.close()


# The acts. Each is tried on a channel of its own.


def declares(queue: str, **arguments: Any) -> Act:
    return lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments)


def declares_exchange(name: str) -> Act:
    return lambda channel: channel.exchange_declare(name, "topic", durable=True)


def deletes(queue: str) -> Act:
    return lambda channel: channel.queue_delete(queue)


def deletes_exchange(name: str) -> Act:
    return lambda channel: channel.exchange_delete(name)


def purges(queue: str) -> Act:
    return lambda channel: channel.queue_purge(queue)


def takes_from(queue: str) -> Act:
    """Consumes and lets go at once: what it was given goes back."""

    def act(channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=1)
        channel.basic_cancel(channel.basic_consume(queue, lambda *_: None))

    return act


def binds(queue: str, exchange: str, key: str) -> Act:
    return lambda channel: channel.queue_bind(queue, exchange, key)


def unbinds(queue: str, exchange: str, key: str) -> Act:
    return lambda channel: channel.queue_unbind(queue, exchange, key)


def joins(exchange: str, to: str, key: str) -> Act:
    """What enters *exchange* under *key* shall go on to *to*."""
    return lambda channel: channel.exchange_bind(to, exchange, key)


def sends(exchange: str, key: str) -> Act:
    return lambda channel: channel.basic_publish(exchange, key, NOTHING, QUICK, mandatory=True)


def waits_for_answers(program: str, under: str | None = None) -> Act:
    """Declares a queue of answers as *program* does, and binds it to *under*, or to what it is named after."""

    def act(channel: BlockingChannel) -> None:
        mine = reply_id(program)
        channel.queue_declare(reply_queue(mine), exclusive=True, auto_delete=True)
        try:
            channel.queue_bind(reply_queue(mine), RPC_EXCHANGE, under or mine)
            channel.basic_cancel(channel.basic_consume(reply_queue(mine), lambda *_: None))
        finally:
            if channel.is_open:
                channel.queue_delete(reply_queue(mine))

    return act


def tells(source: str) -> Act:
    """An event that nobody hears."""
    return lambda channel: channel.basic_publish(events_exchange(source), "nothing_happened", NOTHING)


def enters_the_delays() -> Act:
    """With a key that leads nowhere."""
    return lambda channel: channel.basic_publish(delays.ENTRANCE, "nowhere", NOTHING)


def retries(subscription: Subscription) -> str:
    return delays.enters_as(subscription.queue, delays.LONGEST)


(CONFIRMED,) = (s for s in SUBSCRIPTIONS if s.method == "send_confirmation")
(RELEASE,) = (s for s in SUBSCRIPTIONS if s.method == "release_tickets")
(CLOSE,) = (s for s in SUBSCRIPTIONS if s.method == "close_sales")

ALLOWED: dict[str, dict[str, Act]] = {
    "gateway": {
        "calls booking_svc": sends(outlet("gateway"), "booking_svc.ping"),
        "calls booking_svc in batches": sends(outlet("gateway"), batch_key("booking_svc.book_tickets")),
        "calls auth_svc": sends(outlet("gateway"), "auth_svc.ping"),
        "calls concert_svc": sends(outlet("gateway"), "concert_svc.ping"),
        "calls mailer_svc": sends(outlet("gateway"), "mailer_svc.ping"),
        "waits for answers": waits_for_answers("gateway"),
    },
    "auth_svc": {
        "takes its requests": takes_from(rpc_queue("auth_svc")),
    },
    "concert_svc": {
        "takes its requests": takes_from(rpc_queue("concert_svc")),
        "sets sales terms": sends(outlet("concert_svc"), "booking_svc.set_sales_terms"),
        "waits for answers": waits_for_answers("concert_svc"),
    },
    "booking_svc": {
        "takes its requests": takes_from(rpc_queue("booking_svc")),
        "takes its batches": takes_from(batch_queue("booking_svc")),
        "asks which mails wait": sends(outlet("booking_svc"), "mailer_svc.find_waiting"),
        "waits for answers": waits_for_answers("booking_svc"),
    },
    "mailer_svc": {
        "takes its requests": takes_from(rpc_queue("mailer_svc")),
        "asks for an address": sends(outlet("mailer_svc"), "auth_svc.get_contact"),
        "waits for answers": waits_for_answers("mailer_svc"),
    },
    "relay": {
        **{f"tells events of {service}": tells(service) for service in SERVICES},
        "has events delayed": enters_the_delays(),
    },
}

A_REPLY = reply_id("gateway")

#: The broker says no, and closes the channel.
REFUSED: dict[str, dict[str, Act]] = {
    "gateway": {
        "sets sales terms": sends(outlet("gateway"), "booking_svc.set_sales_terms"),
        "asks for an address": sends(outlet("gateway"), "auth_svc.get_contact"),
        "tells an event by its outlet": sends(outlet("gateway"), "booking_confirmed"),
        "answers itself by its outlet": sends(outlet("gateway"), A_REPLY),
        "calls past its outlet": sends(RPC_EXCHANGE, "booking_svc.set_sales_terms"),
        "tells an event": sends(events_exchange("booking_svc"), "booking_confirmed"),
        "writes into a queue": sends("", CONFIRMED.queue),
        "takes an event": takes_from(CONFIRMED.queue),
        "takes requests": takes_from(rpc_queue("booking_svc")),
        "takes batches": takes_from(batch_queue("booking_svc")),
        "calls in batches what does not come so": sends(outlet("gateway"), batch_key("booking_svc.cancel_booking")),
        "sets sales terms by a batch": sends(outlet("gateway"), batch_key("booking_svc.set_sales_terms")),
        "reads dead letters": takes_from(dead_letters_of(CONFIRMED.queue)),
        "uses another's outlet": sends(outlet("booking_svc"), A_REPLY),
        "binds to requests": waits_for_answers("gateway", under="booking_svc.book_tickets"),
        "binds to everything": waits_for_answers("gateway", under="#"),
    },
    "auth_svc": {
        "calls a service": sends(outlet("auth_svc"), "booking_svc.cancel_booking"),
        "parks another's event": sends(outlet("auth_svc"), CONFIRMED.queue),
        "calls past its outlet": sends(RPC_EXCHANGE, "booking_svc.cancel_booking"),
        "waits for answers": waits_for_answers("auth_svc"),
        "tells an event": sends(events_exchange("auth_svc"), "anything"),
        "tells another's event": sends(events_exchange("booking_svc"), "booking_confirmed"),
        "sends something to be delayed": sends(delays.ENTRANCE, retries(CONFIRMED)),
        "takes another's requests": takes_from(rpc_queue("booking_svc")),
        "takes an event": takes_from(CONFIRMED.queue),
    },
    "concert_svc": {
        "cancels a booking": sends(outlet("concert_svc"), "booking_svc.cancel_booking"),
        "asks for an address": sends(outlet("concert_svc"), "auth_svc.get_contact"),
        "retries another's event": sends(outlet("concert_svc"), retries(CONFIRMED)),
        "parks another's event": sends(outlet("concert_svc"), CONFIRMED.queue),
        "delays an event": sends(outlet("concert_svc"), delays.enters_as("booking_svc.booking_confirmed", 1)),
        "takes another's requests": takes_from(rpc_queue("booking_svc")),
        "takes another's event": takes_from(CONFIRMED.queue),
        "tells its own event": sends(events_exchange("concert_svc"), "concert_starting"),
        "overhears the gateway": waits_for_answers("concert_svc", under=A_REPLY),
        "declares the gateway's queue of answers": declares(reply_queue(A_REPLY)),
    },
    "booking_svc": {
        "calls a service": sends(outlet("booking_svc"), "auth_svc.get_contact"),
        "asks the mailer for tickets": sends(outlet("booking_svc"), "mailer_svc.render_tickets"),
        "overhears the gateway": waits_for_answers("booking_svc", under=A_REPLY),
        "tells its own event": sends(events_exchange("booking_svc"), "booking_confirmed"),
        "takes another's event": takes_from(CONFIRMED.queue),
        "reads its own dead letters": takes_from(dead_letters_of(RELEASE.queue)),
        "writes into its own queue": sends("", RELEASE.queue),
        "retries past its outlet": sends(delays.ENTRANCE, retries(RELEASE)),
        "parks past its outlet": sends(DEAD_LETTERS, RELEASE.queue),
        "stops hearing": unbinds(RELEASE.queue, events_exchange("booking_svc"), "booking_cancelled"),
        "binds its own queue to more": binds(RELEASE.queue, events_exchange("concert_svc"), "concert_starting"),
    },
    "mailer_svc": {
        "calls another method": sends(outlet("mailer_svc"), "auth_svc.set_roles"),
        "calls a method that is not there": sends(outlet("mailer_svc"), "auth_svc.get_contacts"),
        "calls another service": sends(outlet("mailer_svc"), "booking_svc.cancel_booking"),
        "delays an event": sends(outlet("mailer_svc"), delays.enters_as("booking_svc.booking_confirmed", 1)),
        "parks another's event": sends(outlet("mailer_svc"), RELEASE.queue),
        "calls past its outlet": sends(RPC_EXCHANGE, "booking_svc.cancel_booking"),
        "calls by another's outlet": sends(outlet("gateway"), "booking_svc.cancel_booking"),
        "writes into the queue of requests": sends("", rpc_queue("booking_svc")),
        "tells an event": sends(events_exchange("booking_svc"), "booking_confirmed"),
        "delays past its outlet": sends(delays.ENTRANCE, delays.enters_as("booking_svc.booking_confirmed", 1)),
        "has a delay end now": sends(delays.EXIT, "booking_svc.booking_confirmed"),
        "takes another's event": takes_from(RELEASE.queue),
        "takes requests": takes_from(rpc_queue("auth_svc")),
        "takes what is delayed": takes_from(delays.level(0)),
        "reads dead letters": takes_from(dead_letters_of(CONFIRMED.queue)),
        "overhears the gateway": waits_for_answers("mailer_svc", under=A_REPLY),
        "overhears everybody": waits_for_answers("mailer_svc", under="#"),
        "overhears all answers": waits_for_answers("mailer_svc", under="*"),
        "overhears requests": waits_for_answers("mailer_svc", under="auth_svc.login"),
        "overhears what looks like its own": waits_for_answers("mailer_svc", under=f"{reply_id('mailer_svc')}.#"),
        "declares a queue": declares(f"mine-{uuid4()}"),
        "declares a queue that the broker names": declares(""),
        "writes to an exchange of the broker's own": sends("amq.topic", "booking_svc.cancel_booking"),
        "declares its own event queue": declares(CONFIRMED.queue),
        "declares its own queue of requests": declares(rpc_queue("mailer_svc")),
        "declares the gateway's queue of answers": declares(reply_queue(A_REPLY)),
        "declares an exchange": declares_exchange(f"mine-{uuid4()}"),
        "declares its outlet": declares_exchange(outlet("mailer_svc")),
        "deletes its event queue": deletes(CONFIRMED.queue),
        "deletes another's queue": deletes(RELEASE.queue),
        "deletes an exchange": deletes_exchange(RPC_EXCHANGE),
        "empties another's queue": purges(RELEASE.queue),
        "binds another's queue": binds(RELEASE.queue, RPC_EXCHANGE, reply_id("mailer_svc")),
        "stops another from hearing": unbinds(RELEASE.queue, events_exchange("booking_svc"), "booking_cancelled"),
        "opens its outlet to all calls": joins(outlet("mailer_svc"), to=RPC_EXCHANGE, key="#"),
        "opens its outlet to all queues": joins(outlet("mailer_svc"), to=events_exchange("booking_svc"), key="#"),
        "draws all calls into its outlet": joins(RPC_EXCHANGE, to=outlet("mailer_svc"), key="#"),
        "draws events into its outlet": joins(events_exchange("booking_svc"), to=outlet("mailer_svc"), key="#"),
        "changes the topology's mark": declares_exchange("topology.99"),
    },
    "relay": {
        "calls a service": sends(RPC_EXCHANGE, "booking_svc.cancel_booking"),
        "takes an event": takes_from(CONFIRMED.queue),
        "takes requests": takes_from(rpc_queue("auth_svc")),
        "takes what is delayed": takes_from(delays.level(3)),
        "writes into a queue": sends("", CONFIRMED.queue),
        "parks an event": sends(DEAD_LETTERS, CONFIRMED.queue),
        "waits for answers": waits_for_answers("relay"),
        "declares a queue": declares(f"mine-{uuid4()}"),
        "has a delay end now": sends(delays.EXIT, "concert_svc.concert_starting"),
        "uses a service's outlet": sends(outlet("booking_svc"), A_REPLY),
    },
}


def table(acts: dict[str, dict[str, Act]]) -> pytest.MarkDecorator:
    rows = [pytest.param(user, act, id=f"{user} {name}") for user, named in acts.items() for name, act in named.items()]
    return pytest.mark.parametrize(("user", "act"), rows)


@table(ALLOWED)
def test_program_does_what_it_is_there_for(user: str, act: Act, as_user: AsUser) -> None:
    channel = as_user(user)
    act(channel)
    channel.close()


@table(REFUSED)
def test_broker_refuses(user: str, act: Act, as_user: AsUser) -> None:
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        act(as_user(user))


def test_every_program_is_in_the_tables() -> None:
    assert ALLOWED.keys() == REFUSED.keys() == set(PROGRAMS)


@pytest.mark.parametrize("service", SERVICES)
def test_service_answers_whoever_asks(service: str, as_user: AsUser, channel: BlockingChannel) -> None:
    asker = reply_id("gateway")
    channel.queue_declare(reply_queue(asker), exclusive=True)
    channel.queue_bind(reply_queue(asker), RPC_EXCHANGE, asker)
    as_user(service).basic_publish(outlet(service), asker, b"the answer", mandatory=True)
    assert channel.basic_get(reply_queue(asker), auto_ack=True)[2] == b"the answer"


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda s: s.queue)
def test_hearer_takes_its_event_parks_it_and_has_it_delayed(
    subscription: Subscription, as_user: AsUser, channel: BlockingChannel
) -> None:
    mine = uuid4().bytes
    hearer = as_user(subscription.service)
    takes_from(subscription.queue)(hearer)
    out = outlet(subscription.service)
    persistent = pika.BasicProperties(delivery_mode=2)
    hearer.basic_publish(out, subscription.queue, mine, persistent, mandatory=True)
    assert taken_out(channel, dead_letters_of(subscription.queue), mine)
    hearer.basic_publish(out, retries(subscription), mine, persistent, mandatory=True)
    assert taken_out(channel, delays.ENTRANCE, mine)


def taken_out(channel: BlockingChannel, queue: str, body: bytes) -> bool:
    """Whether a message with this *body* lay in *queue*, where it lies no more; the others stay."""
    others = []
    try:
        while (got := channel.basic_get(queue))[0] is not None:
            if got[2] == body:
                channel.basic_ack(got[0].delivery_tag)
                return True
            others.append(got[0].delivery_tag)
        return False
    finally:
        for tag in others:
            channel.basic_nack(tag, requeue=True)


@pytest.mark.parametrize(
    "exchange", ["", RPC_EXCHANGE, DEAD_LETTERS, delays.ENTRANCE, delays.EXIT, "booking_svc.events", "from.gateway"]
)
def test_no_queue_of_answers_dead_letters_into_what_its_owner_may_not_write_to(exchange: str, as_user: AsUser) -> None:
    queue = reply_queue(reply_id("mailer_svc"))
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        declares(queue, **{"x-dead-letter-exchange": exchange})(as_user("mailer_svc"))


@pytest.mark.parametrize(
    "key",
    [
        "booking_svc.cancel_booking",
        RELEASE.queue,
        retries(RELEASE),
        delays.enters_as("booking_svc.booking_confirmed", 1),
    ],
)
def test_dead_letters_into_an_outlet_go_no_further_than_its_owner(
    key: str, as_user: AsUser, channel: BlockingChannel
) -> None:
    """Topic permissions would let them pass: the broker checks no routing key of a dead letter."""
    allowed = "auth_svc.get_contact"
    probe = channel.queue_declare("", exclusive=True).method.queue
    for exchange in (RPC_EXCHANGE, delays.ENTRANCE, DEAD_LETTERS):
        channel.queue_bind(probe, exchange, key)
    channel.queue_bind(probe, RPC_EXCHANGE, allowed)
    attacker = as_user("mailer_svc")
    marks = {}
    for dead_lettered_as in (key, allowed):
        mine, marks[dead_lettered_as] = reply_id("mailer_svc"), uuid4().bytes
        trap = {"x-dead-letter-exchange": outlet("mailer_svc"), "x-dead-letter-routing-key": dead_lettered_as}
        attacker.queue_declare(reply_queue(mine), exclusive=True, arguments=trap)
        attacker.queue_bind(reply_queue(mine), RPC_EXCHANGE, mine)
        attacker.basic_publish(outlet("mailer_svc"), mine, marks[dead_lettered_as], QUICK, mandatory=True)
    # The one that was sent last comes; the other one, which comes to the same queue if it comes at all, does not.
    arrived = {poll(lambda: channel.basic_get(probe, auto_ack=True)[2])}
    while (more := channel.basic_get(probe, auto_ack=True)[2]) is not None:
        arrived.add(more)
    assert marks[allowed] in arrived and marks[key] not in arrived


def copies_to(*keys: str) -> pika.BasicProperties:
    """What has RabbitMQ route a message under more keys than its own, and not tell whom it reaches."""
    return pika.BasicProperties(headers={"CC": list(keys[:1]), "BCC": list(keys[1:])}, delivery_mode=2)


@pytest.mark.parametrize(
    ("key", "copy"),
    [
        ("auth_svc.set_roles", "auth_svc.get_contact"),
        ("booking_svc.cancel_booking", "auth_svc.get_contact"),
        ("booking_cancelled", CONFIRMED.queue),
        (delays.enters_as("booking_svc.booking_cancelled", 1), retries(CONFIRMED)),
    ],
)
def test_key_that_is_not_allowed_is_refused_with_a_copy_that_is(key: str, copy: str, as_user: AsUser) -> None:
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        as_user("mailer_svc").basic_publish(outlet("mailer_svc"), key, NOTHING, copies_to(copy))


def test_copy_of_a_call_arrives_under_the_key_that_was_allowed_and_is_no_other_call(
    as_user: AsUser, channel: BlockingChannel
) -> None:
    """Topic exchanges route by every key, so a copy gets there; a service looks at the first key only."""
    probe = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(probe, RPC_EXCHANGE, "booking_svc.cancel_booking")
    copies = copies_to("booking_svc.cancel_booking")
    as_user("mailer_svc").basic_publish(outlet("mailer_svc"), "auth_svc.get_contact", NOTHING, copies)
    method, _, _ = poll(lambda: got if (got := channel.basic_get(probe, auto_ack=True))[0] else None)
    assert method.routing_key == "auth_svc.get_contact"


def test_copy_of_what_is_parked_does_not_come_among_the_dead_letters_of_others(
    as_user: AsUser, channel: BlockingChannel
) -> None:
    mine = uuid4().bytes
    hearer = as_user("mailer_svc")
    hearer.basic_publish(outlet("mailer_svc"), CONFIRMED.queue, mine, copies_to(RELEASE.queue, CLOSE.queue), True)
    assert taken_out(channel, dead_letters_of(CONFIRMED.queue), mine)
    assert not taken_out(channel, dead_letters_of(RELEASE.queue), mine)
    assert not taken_out(channel, dead_letters_of(CLOSE.queue), mine)


def test_a_message_does_not_say_that_it_is_from_somebody_else(as_user: AsUser) -> None:
    forged = pika.BasicProperties(user_id="gateway")
    with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        as_user("mailer_svc").basic_publish(outlet("mailer_svc"), "auth_svc.get_contact", NOTHING, forged)


@pytest.mark.parametrize(("user", "password"), [("guest", "guest"), ("tickets", "tickets"), ("mailer_svc", "")])
def test_nobody_else_gets_in(user: str, password: str, stack: LocalStack) -> None:
    parameters = pika.URLParameters(stack.amqp_uri)
    parameters.credentials = pika.PlainCredentials(user, password)
    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_every_process_of_the_run_has_its_own_user(stack: LocalStack) -> None:
    """What they were started with; that it is enough for their work, every other test shows."""
    for program in PROGRAMS:
        for started_with in json.loads((stack.data_dir / "supervisor" / f"{program}.json").read_text())["copies"]:
            assert urlsplit(started_with["AMQP_URI"]).username == program
            assert not [name for name in started_with if name.startswith("RABBITMQ_")]

"""The names that every process shares with the broker."""

from uuid import uuid4

SERVICES = ("auth_svc", "concert_svc", "booking_svc", "mailer_svc")
#: Each has a user of its own in the broker, called as it is.
PROGRAMS = ("gateway", *SERVICES, "relay")

#: Requests by `<service>.<method>`, replies by `reply_id`.
RPC_EXCHANGE = "nameko-rpc"
#: What crowds ask for, by service. Calls of such a method that wait at the same time may come in one message, a batch.
BATCHED = {"booking_svc": ("book_hold", "book_tickets", "hold_tickets")}
#: The exchange of what was given up; the routing key is the name of the queue it was in.
DEAD_LETTERS = "dead-letters"

#: Why a message was parked among the dead letters, as text.
REASON_HEADER = "x-reason"
#: How often a message has failed.
ATTEMPT_HEADER = "x-attempt"


def events_exchange(source: str) -> str:
    """The exchange of the events that *source* tells, as Nameko names it."""
    return f"{source}.events"


def outlet(program: str) -> str:
    """
    The exchange that all messages of *program* enter: calls, replies, events to retry, events to park.

    Its bindings are all that the program can reach; it may write to no other exchange.
    """
    return f"from.{program}"


def rpc_queue(service: str) -> str:
    """The queue of the requests to *service*."""
    return f"rpc-{service}"


def comes_in_batches(service: str, method: str) -> bool:
    """Whether calls of *service*.*method* may come many in one message."""
    return method in BATCHED.get(service, ())


def batch_queue(service: str) -> str:
    """The queue of the batches of calls to *service*."""
    return f"{rpc_queue(service)}.batches"


def batch_key(asked: str) -> str:
    """The routing key of a batch of calls of *asked*, which is `<service>.<method>`."""
    return f"{asked}.batch"


def dead_letters_of(queue: str) -> str:
    """The queue where what *queue* has given up rests."""
    return f"{DEAD_LETTERS}.{queue}"


UUID = "[0-9a-f-]{36}"
#: Where answers may be sent, as a regular expression; Nameko's own clients leave out the program.
REPLY_ID = rf"(\w+-)?{UUID}"


def reply_id(program: str) -> str:
    """A new routing key for the answers to one connection of *program*: one word, since requests are two."""
    return f"{program}-{uuid4()}"


def reply_queue(reply_id: str) -> str:
    """The queue of those answers; a program may declare such queues of its own and no others."""
    return f"rpc.reply-{reply_id}"

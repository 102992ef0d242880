"""`python -m rabbitmq queues | delayed | dead-letters ... | outbox ...`: the console's answers, printed."""

import sys
from collections.abc import Iterator
from typing import Any

import click
from pika.exceptions import AMQPError
from pymongo.errors import PyMongoError

from rabbitmq.console import Console, NoSuchQueue
from rabbitmq.dead_letters import DeadLetter, NotTaken

amqp_uri_option = click.option("--amqp-uri", envvar="AMQP_URI", required=True, help="The broker; or AMQP_URI.")
mongo_uri_option = click.option("--mongo-uri", envvar="MONGO_URI", required=True, help="MongoDB; or MONGO_URI.")
limit_option = click.option("--limit", default=20, show_default=True, help="How many at most.")


class Commands(click.Group):
    """Commands that tell of a server that does not answer in a line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NoSuchQueue as error:
            raise click.UsageError(str(error)) from None
        except (AMQPError, NotTaken) as error:
            raise click.ClickException(f"RabbitMQ: {error!r}") from error
        except PyMongoError as error:
            raise click.ClickException(f"MongoDB: {error}") from error


@click.command()
@amqp_uri_option
def queues(amqp_uri: str) -> None:
    """How many messages are ready in each queue, and how many consumers take them."""
    click.echo(Console(amqp_uri).queues())


@click.command()
@amqp_uri_option
def delayed(amqp_uri: str) -> None:
    """What waits for its time, by the day it is due (UTC)."""
    console = Console(amqp_uri)
    with click.progressbar(length=console.how_many_delayed(), label="Reading", file=sys.stderr) as bar:
        answer = console.counting_delayed(bar.update)
    click.echo(answer)


@click.group("dead-letters")
def dead_letters() -> None:
    """What was given up. QUEUE is a queue's name, or its handler's: mailer_svc.send_confirmation"""


@dead_letters.command("list")
@amqp_uri_option
@limit_option
@click.argument("queue", required=False)
def list_(amqp_uri: str, limit: int, queue: str | None) -> None:
    """The oldest of each queue: why, how often tried, since when."""
    click.echo(Console(amqp_uri).dead_letters(queue, limit))


@dead_letters.command()
@amqp_uri_option
@limit_option
@click.argument("queue")
@click.argument("ids", nargs=-1)
def show(amqp_uri: str, limit: int, queue: str, ids: tuple[str, ...]) -> None:
    """All of a dead letter but its secrets; without IDS, the oldest."""
    click.echo(Console(amqp_uri).show(queue, *ids, limit=limit))


@dead_letters.command()
@amqp_uri_option
@click.option("--all", "everything", is_flag=True, help="Not only IDS.")
@click.argument("queue")
@click.argument("ids", nargs=-1)
def replay(amqp_uri: str, everything: bool, queue: str, ids: tuple[str, ...]) -> None:
    """Send dead letters back to their queue, as if they had never failed."""
    _some_or_all(ids, everything)
    console = Console(amqp_uri)
    _carry_out(console, queue, console.replaying(queue, *ids), "sent back")


@dead_letters.command()
@amqp_uri_option
@click.option("--all", "everything", is_flag=True, help="Not only IDS.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("queue")
@click.argument("ids", nargs=-1)
def discard(amqp_uri: str, everything: bool, yes: bool, queue: str, ids: tuple[str, ...]) -> None:
    """Throw dead letters away, for good."""
    _some_or_all(ids, everything)
    console = Console(amqp_uri)
    if not yes:
        what = f"{len(ids)} dead letters" if ids else f"all {console.how_many_dead_letters(queue)} dead letters"
        click.confirm(f"Throw away {what} of {queue}?", abort=True)
    _carry_out(console, queue, console.discarding(queue, *ids), "discarded")


@click.group()
def outbox() -> None:
    """What was not published yet."""


@outbox.command("list")
@mongo_uri_option
@click.option("--refused", is_flag=True, help="Only what the broker has refused.")
@limit_option
def list_outboxes(mongo_uri: str, refused: bool, limit: int) -> None:
    """Each document that has something to tell, and why it was refused, if it was."""
    click.echo(Console("", mongo_uri).outbox(refused, limit))


@outbox.command()
@mongo_uri_option
def lag(mongo_uri: str) -> None:
    """How many documents have something to tell, and for how long the oldest has waited."""
    click.echo(Console("", mongo_uri).lag())


@outbox.command()
@mongo_uri_option
@click.argument("document", required=False)
def retry(mongo_uri: str, document: str | None) -> None:
    """Have what was refused tried at once: of one document, or of all."""
    click.echo(Console("", mongo_uri).retry(document))


def _some_or_all(ids: tuple[str, ...], everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("Name the IDS, or say --all.")


def _carry_out(console: Console, queue: str, letters: Iterator[DeadLetter], done: str) -> None:
    """Walks through *letters* with a progress bar, where somebody sees it."""
    length = console.how_many_dead_letters(queue)
    with click.progressbar(letters, length=length, label=queue, file=sys.stderr) as bar:
        count = sum(1 for _ in bar)
    click.echo(f"{count} {done}")

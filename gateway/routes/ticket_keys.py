"""The public keys with which anybody can check a ticket, without asking us about it."""

from typing import Any

from gateway import schemas
from gateway.access import anyone
from gateway.blueprint import Blueprint
from gateway.services import services

blueprint = Blueprint("ticket_keys", __name__, url_prefix="/v1/ticket-keys", description=__doc__)

#: A scanner may keep them for so many seconds.
KEEP = 300


@blueprint.get("")
@blueprint.response(200, schemas.TicketKeys)
@anyone()
def list_ticket_keys() -> Any:
    """
    A JSON Web Key Set (RFC 7517): the key in use first, then those that older tickets were signed with.

    The text in a ticket's QR code is a JSON Web Signature (EdDSA). Its header's `kid` names the key; its payload has
    `code`, `concert`, `booking`, `number`, `type` and of a named seat `seat`. A code lets in once.
    """
    return services().mailer.list_ticket_keys(), {"Cache-Control": f"public, max-age={KEEP}"}

"""What organisers see of their own concerts."""

from typing import Any

from flask import Response

from booking_svc.contract import Rollout, Sales
from concert_svc.contract import ChangePage, ConcertPage
from gateway import guest_lists, schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.services import services
from gateway.sessions import identity

blueprint = Blueprint("organisers", __name__, url_prefix="/v1/concerts", description=__doc__)


@blueprint.get("/mine")
@blueprint.arguments(schemas.PageArguments, location="query")
@blueprint.response(200, schemas.ConcertPage)
@signed_in("organiser")
def list_own_concerts(page: dict[str, Any]) -> ConcertPage:
    """Your concerts in whatever state, drafts too; the last start first."""
    return services().concert.list_own_concerts(organiser_id=identity().user_id, **page)


@blueprint.get("/<string:concert_id>/changes")
@blueprint.arguments(schemas.PageArguments, location="query")
@blueprint.response(200, schemas.ChangePage)
@signed_in("organiser")
def list_changes(page: dict[str, Any], concert_id: str) -> ChangePage:
    """Who changed what of your concert, when, and by which request; newest first."""
    return services().concert.list_changes(organiser_id=identity().user_id, concert_id=concert_id, **page)


@blueprint.get("/<string:concert_id>/rollouts")
@blueprint.response(200, schemas.Rollouts)
@signed_in("organiser")
def list_rollouts(concert_id: str) -> dict[str, list[Rollout]]:
    """How far your bookings have been cancelled or rescheduled, and their buyers told; the last begun first."""
    services().concert.get_own_concert(organiser_id=identity().user_id, concert_id=concert_id)
    return {"items": services().booking.list_rollouts(concert_id=concert_id)}


@blueprint.get("/<string:concert_id>/bookings")
@blueprint.arguments(schemas.PageArguments, location="query")
@blueprint.response(200, schemas.SoldBookingPage)
@signed_in("organiser")
def list_concert_bookings(page: dict[str, Any], concert_id: str) -> dict[str, Any]:
    """Who booked your concert, newest first; cancelled bookings too."""
    services().concert.get_own_concert(organiser_id=identity().user_id, concert_id=concert_id)
    return guest_lists.page(services(), concert_id, **page)


@blueprint.get("/<string:concert_id>/bookings.csv")
@blueprint.response(200, {"type": "string"}, content_type="text/csv")
@blueprint.streams
@signed_in("organiser")
def export_concert_bookings(concert_id: str) -> Response:
    """The same as a table for a spreadsheet, a row for each ticket."""
    concert = services().concert.get_own_concert(organiser_id=identity().user_id, concert_id=concert_id)
    return guest_lists.export(services(), concert)


@blueprint.get("/<string:concert_id>/sales")
@blueprint.response(200, schemas.Sales)
@signed_in("organiser")
def get_sales(concert_id: str) -> Sales:
    """What was sold of your concert, per ticket type and per hour."""
    services().concert.get_own_concert(organiser_id=identity().user_id, concert_id=concert_id)
    return services().booking.get_sales(concert_id=concert_id)

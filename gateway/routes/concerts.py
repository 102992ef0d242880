"""Concerts: what is on, and an organiser's own."""

from typing import Any

from flask import Response, current_app, request

from booking_svc.contract import Availability, ConcertNotFound
from concert_svc.contract import Concert, ConcertPage, NewConcert
from gateway import schemas
from gateway.access import anyone, maybe_signed_in, signed_in
from gateway.blueprint import Blueprint
from gateway.seat_maps import SeatMaps
from gateway.services import services
from gateway.sessions import identity, identity_if_any
from rabbitmq.errors import Unavailable

blueprint = Blueprint("concerts", __name__, url_prefix="/v1/concerts", description=__doc__)


@blueprint.get("")
@blueprint.arguments(schemas.PageArguments, location="query")
@blueprint.response(200, schemas.ConcertPage)
@anyone()
def list_concerts(page: dict[str, Any]) -> ConcertPage:
    """Concerts on sale, the next first."""
    return services().concert.list_concerts(**page)


@blueprint.post("")
@blueprint.arguments(schemas.NewConcert)
@blueprint.response(201, schemas.Concert, headers={"Location": "Location"})
@signed_in("organiser")
def create_concert(body: NewConcert) -> Any:
    """A new draft, seen by its organiser alone until it is published."""
    concert = services().concert.create_concert(organiser_id=identity().user_id, concert=body)
    return concert, {"Location": f"/v1/concerts/{concert['id']}"}


@blueprint.get("/<string:concert_id>")
@blueprint.response(200, schemas.Concert)
@maybe_signed_in()
def get_concert(concert_id: str) -> Concert:
    """One concert. With a token, an organiser sees their own drafts too."""
    viewer = identity_if_any()
    return services().concert.get_concert(concert_id=concert_id, viewer_id=viewer and viewer.user_id)


@blueprint.get("/<string:concert_id>/availability")
@blueprint.response(200, schemas.Availability)
@anyone()
def get_availability(concert_id: str) -> Availability:
    """How many tickets are left. It may lag; only booking decides."""
    return services().booking.get_availability(concert_id=concert_id)


@blueprint.get("/<string:concert_id>/seats")
@blueprint.response(200, schemas.SeatMap)
@blueprint.refuses(ConcertNotFound, Unavailable)
@anyone()
def get_seats(concert_id: str) -> Response:
    """The state of every reserved seat, in one answer with an ETag. It may lag; only holding and booking decide."""
    maps: SeatMaps = current_app.extensions["seat_maps"]
    return maps.answer(request, services().booking, concert_id)


@blueprint.post("/<string:concert_id>/publish")
@blueprint.response(200, schemas.Concert)
@signed_in("organiser")
def publish_concert(concert_id: str) -> Concert:
    """Put the draft on sale. Sales close by themselves, ten seconds before the concert starts."""
    return services().concert.publish_concert(organiser_id=identity().user_id, concert_id=concert_id)

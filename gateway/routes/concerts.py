"""Concerts: what is on, and an organiser's own."""

from typing import Any, cast

from flask import Response, current_app, request

from booking_svc.contract import Availability, ConcertNotFound
from concert_svc.contract import Concert, ConcertChange, ConcertPage, ConcertSearch, NewConcert
from gateway import schemas
from gateway.access import anyone, maybe_signed_in, signed_in
from gateway.blueprint import Blueprint
from gateway.seat_maps import SeatMaps
from gateway.services import services
from gateway.sessions import identity, identity_if_any
from rabbitmq.errors import Unavailable

blueprint = Blueprint("concerts", __name__, url_prefix="/v1/concerts", description=__doc__)


@blueprint.get("")
@blueprint.arguments(schemas.SearchArguments, location="query")
@blueprint.response(200, schemas.ConcertPage)
@anyone()
def search_concerts(arguments: dict[str, Any]) -> ConcertPage:
    """
    Concerts on sale: the next first, or the most relevant to a text.

    The text is `q`. With `available` a page may have fewer than `limit` while there are more; `next_cursor` tells.
    """
    limit, cursor = arguments.pop("limit"), arguments.pop("cursor")
    by = "relevance" if "text" in arguments else "date"
    search = cast(ConcertSearch, {"sort": by, **arguments})
    return services().concert.search_concerts(search=search, limit=limit, cursor=cursor)


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


@blueprint.patch("/<string:concert_id>")
@blueprint.arguments(schemas.ConcertChange)
@blueprint.response(200, schemas.Concert)
@signed_in("organiser")
def update_concert(body: ConcertChange, concert_id: str) -> Concert:
    """
    Change your draft, or your concert on sale: the fields that the body has.

    Moving the start tells every buyer, and sales close at the new time. The doors keep their distance to the start
    unless the body mentions them. Of ticket types that are on sale none can be left out, and no capacity can be lowered
    below what is sold and held.
    """
    return services().concert.update_concert(organiser_id=identity().user_id, concert_id=concert_id, changes=body)


@blueprint.delete("/<string:concert_id>")
@blueprint.response(204)
@signed_in("organiser")
def delete_concert(concert_id: str) -> None:
    """Delete your draft."""
    services().concert.delete_concert(organiser_id=identity().user_id, concert_id=concert_id)


@blueprint.post("/<string:concert_id>/cancel")
@blueprint.response(200, schemas.Concert)
@signed_in("organiser")
def cancel_concert(concert_id: str) -> Concert:
    """Call the concert off. Nothing more is sold; all bookings are cancelled and their buyers told, within minutes."""
    return services().concert.cancel_concert(organiser_id=identity().user_id, concert_id=concert_id)


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

"""Every code that the API answers with: why it comes, what to do about it, and where to look next."""

import re
from collections.abc import Callable
from typing import NamedTuple

#: The page of all codes; the `type` of a problem is the place of its code there.
PAGE = "/errors"


class Step(NamedTuple):
    """Something a client can do next, in its own words and, where there is one, as a request."""

    do: str
    method: str | None = None
    href: str | None = None  #: with the names of what the refused request was about in braces


class Code(NamedTuple):
    status: int
    cause: str
    cure: str
    next: tuple[Step, ...] = ()


AVAILABILITY = Step("See how many tickets are left.", "GET", "/v1/concerts/{concert_id}/availability")
SEATS = Step("See which seats are free.", "GET", "/v1/concerts/{concert_id}/seats")
CONCERT = Step("Read when sales open and close, and the limit per person.", "GET", "/v1/concerts/{concert_id}")
STATE = Step("Read the concert; `status` says in which state it is.", "GET", "/v1/concerts/{concert_id}")
OWN_BOOKINGS = Step("See what you have booked.", "GET", "/v1/bookings")
OTHER_CONCERTS = Step("Look for another concert.", "GET", "/v1/concerts")

CODES: dict[str, Code] = {
    "malformed_json": Code(
        400,
        "The body is not JSON: a bracket is missing, it is not UTF-8, or it is nested too deeply.",
        "Let a JSON library write the body, and send it as UTF-8.",
    ),
    "malformed_request": Code(
        400,
        "The request line or a header is not HTTP as we understand it.",
        "Let an HTTP library make the request, and look at what a proxy in between makes of it.",
    ),
    "idempotency_key_missing": Code(
        400,
        "A purchase was asked for without the header Idempotency-Key.",
        "Send a new random text, such as a UUID, for each purchase, and the same again when you repeat the request.",
    ),
    "not_authenticated": Code(
        401,
        "There is no Authorization header, or what it carries is not a token of ours, or not of this kind.",
        "Log in, and send the access token as `Authorization: Bearer <token>`.",
    ),
    "token_expired": Code(
        401,
        "The token was good once; it no longer is.",
        "Exchange the refresh token for new tokens at POST /v1/auth/refresh, and repeat the request.",
    ),
    "session_ended": Code(
        401,
        "The session of this token was ended: by logging out, by a change of password or roles, or because a refresh "
        "token was used twice.",
        "Log in again.",
    ),
    "bad_credentials": Code(
        401,
        "The e-mail address and the password do not belong together. Which of the two is wrong is not told.",
        "Let the user type them again, or offer to reset the password.",
    ),
    "forbidden": Code(
        403,
        "You are signed in, and your role does not allow this. Organisers create concerts, admins give roles.",
        "Use another account, or ask an admin for the role, and log in again after that.",
    ),
    "login_too_old": Code(
        403,
        "What cannot be undone needs a login within the last 15 minutes. Refreshing tokens does not count.",
        "Let the user log in again with their password, and repeat the request with the new token.",
        (Step("Log in again.", "POST", "/v1/auth/login"),),
    ),
    "not_found": Code(
        404,
        "There is nothing at this address, or it belongs to somebody else: the two are not told apart.",
        "Check the id, and whose token you send.",
    ),
    "method_not_allowed": Code(
        405, "The address exists, and does not know this method.", "Use one of the methods in the header Allow."
    ),
    "not_acceptable": Code(
        406,
        "The header Accept rules out every form that this answer has.",
        "Leave Accept out, or let it include the content type that the documentation names.",
    ),
    "email_taken": Code(
        409,
        "Somebody has registered with this e-mail address.",
        "Log in instead, or offer to reset the password.",
    ),
    "has_duties": Code(
        409,
        "An organiser's concerts need somebody to answer for them, and the platform needs its admins: their accounts "
        "are not erased.",
        "Let an admin take these roles away, and log in again after that.",
    ),
    "sold_out": Code(
        409,
        "At this moment there are fewer tickets left than you asked for. `errors.items` says of which type.",
        "Ask for fewer tickets, or another type. Tickets come back when holds expire, within ten minutes, and when "
        "bookings are cancelled: asking again later is worth it.",
        (
            AVAILABILITY,
            Step("Ask for fewer tickets, or for another ticket type."),
            Step(
                "Try again later: tickets come back when holds expire, within ten minutes, or bookings are cancelled."
            ),
        ),
    ),
    "tickets_unavailable": Code(
        409,
        "At least one of the seats you named is held or booked by somebody else, or not for sale. You got none of "
        "them. `errors.items` names them.",
        "Choose other seats, or ask for a quantity and get the best that are left side by side.",
        (SEATS, Step("Name other seats, or send a quantity instead of seats to get the best ones left side by side.")),
    ),
    "limit_reached": Code(
        409,
        "The concert has a limit of tickets per person, `max_tickets_per_user`. Your bookings and your running holds "
        "count towards it; `errors.items` says how many.",
        "Ask for fewer, or release a hold or cancel a booking first.",
        (OWN_BOOKINGS, CONCERT, Step("Ask for fewer tickets, release a hold, or cancel a booking first.")),
    ),
    "not_on_sale_yet": Code(
        409,
        "Sales of this concert have not opened. It says when in `sales_open_at`.",
        "Come back at `sales_open_at`; the clock that counts is ours, see the header Date.",
        (CONCERT, Step("Come back at sales_open_at.")),
    ),
    "sales_closed": Code(
        409,
        "Sales of this concert have closed: ten seconds before it starts.",
        "There is no way to book it any more.",
        (OTHER_CONCERTS, OWN_BOOKINGS),
    ),
    "concert_cancelled": Code(
        409,
        "The organiser has cancelled the concert.",
        "There is no way to book it any more. Bookings of it are cancelled, and their buyers told by mail.",
        (OTHER_CONCERTS, OWN_BOOKINGS),
    ),
    "hold_expired": Code(
        409,
        "The hold is gone: its time was up, or it was released, booked or lost. Its tickets are no longer kept.",
        "Hold tickets anew. If you booked the hold a moment ago, look among your bookings first.",
        (OWN_BOOKINGS, Step("Hold the tickets again.", "POST", "/v1/holds")),
    ),
    "already_cancelled": Code(
        409, "The booking is cancelled already.", "Nothing is left to do; read the booking to see when it happened."
    ),
    "not_cancellable": Code(
        409,
        "A booking can be cancelled until sales close, and they have.",
        "It is too late for that. Ask the organiser.",
    ),
    "wrong_state": Code(
        409,
        "The concert is in a state that does not allow this: only a draft can be published or deleted, for example.",
        "Read the concert; `errors.status` says in which state it is, unless it is about what is sold or held.",
        (
            STATE,
            Step("Publish a draft to sell it; delete a draft, cancel what is on sale. What is over stays as it is."),
        ),
    ),
    "request_in_progress": Code(
        409,
        "The same request is being worked on at this moment, or the hold is being booked by another one.",
        "Repeat it after Retry-After with the same Idempotency-Key: you will get the one answer.",
    ),
    "request_timeout": Code(
        408,
        "The request was begun, and its end did not come within ten seconds.",
        "Send it again, whole. A purchase was not made.",
    ),
    "length_required": Code(
        411,
        "The body comes in chunks, without its length.",
        "Send the body whole, with the header Content-Length.",
    ),
    "content_too_large": Code(413, "The body is larger than 64 KiB.", "Send less. No request needs more than that."),
    "uri_too_long": Code(414, "The address, with its query, is longer than 4,094 characters.", "Ask for less at once."),
    "headers_too_large": Code(
        431,
        "A header is longer than 8,190 characters, or there are more than a hundred.",
        "Send fewer and shorter ones; cookies are not needed here.",
    ),
    "unsupported_media_type": Code(
        415,
        "The body is not said to be JSON.",
        "Send it with `Content-Type: application/json`.",
    ),
    "invalid": Code(
        422,
        "Some fields of the body, the query or the headers are not as they should be.",
        "`errors` names each field and what is wrong with it. Unknown fields are refused, too.",
    ),
    "idempotency_key_reused": Code(
        422,
        "This Idempotency-Key was used before, with another body.",
        "Use a new key for a new purchase. Repeat a request with precisely the same body.",
    ),
    "starts_too_soon": Code(
        422,
        "The concert starts so soon that its sales would be over before they open.",
        "Choose a later `starts_at`.",
    ),
    "rate_limited": Code(
        429,
        "There were too many requests from you in a short time.",
        "Wait for as many seconds as Retry-After says.",
    ),
    "internal": Code(
        500,
        "A mistake on our side. It is in our log under the `request_id`.",
        "Tell us the `request_id`. A write may have happened: repeat it with the same Idempotency-Key.",
    ),
    "unavailable": Code(
        503,
        "A part of the platform does not answer at the moment, or there is too much to do.",
        "Repeat the request after Retry-After. Repeat a purchase with the same Idempotency-Key: it is made once.",
    ),
}


def type_of(code: str) -> str:
    """The `type` of a problem with *code*: an address that explains it."""
    return f"{PAGE}#{code}"


def next_steps(code: str, about: Callable[[], dict[str, str]]) -> list[dict[str, str]]:
    """What the client can do next; *about* tells the names in braces, and a request that lacks one is left out."""
    known = CODES.get(code)
    if known is None or not known.next:
        return []
    names = about()
    steps = []
    for step in known.next:
        if step.href is None:
            steps.append({"do": step.do})
        elif set(re.findall(r"{(\w+)}", step.href)) <= names.keys():
            steps.append({"do": step.do, "method": step.method or "GET", "href": step.href.format(**names)})
    return steps

"""The stories that the collection tells, in the order in which they are run: who asks what, and what must come."""

from dataclasses import dataclass, field
from typing import Any

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "another horse, another staple"


@dataclass(frozen=True)
class Step:
    """One request."""

    operation: str  #: its operationId
    name: str
    who: str | None = None  #: whose token is sent: `{who}_token`
    body: Any = None  #: None: the document's example, where the operation has a body; a text is sent as it is
    query: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)  #: where a name in the path is not a variable of that name
    key: str | None = None  #: the Idempotency-Key: `new`, or `same` as that of the last request with a new one
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None  #: None: the one that means success
    code: str | None = None  #: of the refusal
    keep: dict[str, str] = field(default_factory=dict)  #: variable -> where in the answer, in JavaScript
    tests: dict[str, str] = field(default_factory=dict)  #: what -> an expectation, in JavaScript
    until: str | None = None  #: ask again, for a while, until this expression is true


def login(who: str, name: str | None = None, password: str = "{{password}}") -> Step:
    return Step(
        "login",
        name or f"{who.title()} logs in",
        body={"email": f"{{{{{who}_email}}}}", "password": password},
        keep={f"{who}_token": "body.access_token", f"{who}_refresh_token": "body.refresh_token"},
    )


def register(who: str, name: str) -> Step:
    return Step(
        "register",
        f"{name} registers",
        body={"email": f"{{{{{who}_email}}}}", "password": "{{password}}", "name": name},
        keep={
            f"{who}_id": "body.user.id",
            f"{who}_token": "body.access_token",
            f"{who}_refresh_token": "body.refresh_token",
        },
    )


def tickets(quantity: int = 1, ticket_type: str = "standing", concert: str = "concert_id") -> dict[str, Any]:
    items = [{"ticket_type": ticket_type, "quantity": quantity}]
    return {"concert_id": f"{{{{{concert}}}}}", "items": items}


def concert(title: str, capacity: int = 50) -> dict[str, Any]:
    price = {"amount": 4500, "currency": "EUR"}
    return {
        "title": title,
        "performers": ["Trio Ohne Namen"],
        "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
        "starts_at": "{{next_month}}",
        "max_tickets_per_user": 4,
        "ticket_types": [
            {"code": "standing", "name": "Standing", "price": price, "capacity": capacity},
            {
                "code": "balcony",
                "name": "Balcony",
                "price": {"amount": 8000, "currency": "EUR"},
                "seating": [{"section": "B", "rows": ["1", "2"], "seats_per_row": 8}],
            },
        ],
    }


STORIES: dict[str, list[Step]] = {
    "1 Admin: make an organiser": [
        Step("live", "The gateway lives"),
        Step("ready", "Everything is there", tests={"all is ok": "Object.values(body.checks).every(s => s === 'ok')"}),
        Step(
            "login",
            "The admin logs in",
            body={"email": "{{admin_email}}", "password": "{{admin_password}}"},
            keep={"admin_token": "body.access_token"},
            tests={"is an admin": "body.user.roles.includes('admin')"},
        ),
        register("organiser", "Olga Organiser"),
        Step(
            "find_user",
            "Whose address it is",
            "admin",
            {"email": "{{organiser_email}}"},
            keep={"organiser_id": "body.id"},
            tests={"it is Olga's": "body.name === 'Olga Organiser'"},
        ),
        Step(
            "set_roles",
            "Olga becomes an organiser",
            "admin",
            {"roles": ["customer", "organiser"]},
            path={"user_id": "organiser_id"},
            tests={"has the role": "body.roles.includes('organiser')"},
        ),
        Step("list_audit_entries", "It stands in the audit log", "admin", query={"limit": "10"}),
    ],
    "2 Organiser: put a concert on sale": [
        login("organiser"),
        Step(
            "create_concert",
            "A new draft",
            "organiser",
            concert("Night of the Organs"),
            keep={"concert_id": "body.id"},
            tests={"is a draft": "body.status === 'draft'"},
        ),
        Step(
            "update_concert",
            "The draft gets a description",
            "organiser",
            {"description": "Two organs, one night."},
            tests={"has it": "body.description === 'Two organs, one night.'"},
        ),
        Step(
            "publish_concert",
            "Put it on sale",
            "organiser",
            tests={
                "is on sale": "body.status === 'published'",
                "sales close ten seconds before the start": (
                    "Date.parse(body.starts_at) - Date.parse(body.sales_close_at) === 10000"
                ),
            },
        ),
        Step("list_own_concerts", "Olga's concerts", "organiser"),
        Step("list_changes", "What has been changed", "organiser"),
    ],
    "3 Buyer: from a search to the tickets": [
        register("buyer", "Ben Buyer"),
        Step("search_concerts", "Search", query={"q": "organs", "limit": "5"}),
        Step(
            "get_concert",
            "Read the concert",
            keep={"etag": "pm.response.headers.get('ETag')"},
            tests={"has ticket types": "body.ticket_types.length === 2"},
        ),
        Step(
            "get_concert",
            "Read it again, unless it has changed",
            headers={"If-None-Match": "{{etag}}"},
            status=304,
        ),
        Step("get_availability", "How many tickets are left", tests={"sales are open": "body.sales.open === true"}),
        Step("get_seats", "Which seats are free", tests={"has seats": "body.items.length === 16"}),
        Step(
            "hold_tickets",
            "Hold the best two seats side by side",
            "buyer",
            tickets(2, "balcony"),
            key="new",
            keep={"hold_id": "body.id"},
            tests={"has two seats": "body.tickets.every(t => t.seat) && body.tickets.length === 2"},
        ),
        Step("get_hold", "Look at the hold", "buyer"),
        Step("extend_hold", "Keep it for ten more minutes", "buyer"),
        Step(
            "book_tickets",
            "Book the hold",
            "buyer",
            {"hold_id": "{{hold_id}}"},
            key="new",
            keep={"booking_id": "body.id"},
            tests={"is confirmed": "body.status === 'confirmed'", "costs 160.00": "body.total.amount === 16000"},
        ),
        Step(
            "book_tickets",
            "The answer got lost: send it again",
            "buyer",
            {"hold_id": "{{hold_id}}"},
            key="same",
            tests={
                "is the same booking": "body.id === pm.collectionVariables.get('booking_id')",
                "is marked": "pm.response.headers.get('Idempotency-Replayed') === 'true'",
            },
        ),
        Step(
            "get_booking",
            "The confirmation goes out by mail",
            "buyer",
            tests={"is sent": "body.confirmation_mail.state === 'sent'"},
            until="body.confirmation_mail.state === 'sent'",
        ),
        Step("list_bookings", "All that Ben has booked", "buyer", query={"limit": "10"}),
        Step("get_tickets", "The tickets as a PDF", "buyer"),
        Step("get_calendar", "The concert for the calendar", "buyer"),
        Step("list_ticket_keys", "What a door checks the tickets with"),
        Step(
            "hold_tickets",
            "Hold one more",
            "buyer",
            tickets(1),
            key="new",
            keep={"second_hold_id": "body.id"},
        ),
        Step("release_hold", "Give it back", "buyer", path={"hold_id": "second_hold_id"}),
        Step("get_profile", "Who Ben is", "buyer"),
        Step("update_profile", "Ben changes his name", "buyer", {"name": "Ben B. Buyer"}),
        Step(
            "list_sessions",
            "Where Ben is signed in",
            "buyer",
            keep={"session_id": "body.items[0].id"},
            tests={"is here": "body.items.some(s => s.current)"},
        ),
    ],
    "4 On sale: refusals, and what to do next": [
        Step(
            "book_tickets",
            "More than the limit per person",
            "buyer",
            tickets(3),
            key="new",
            status=409,
            code="limit_reached",
            tests={"says what to do": "body.next.length > 0"},
        ),
        Step(
            "hold_tickets",
            "A seat that is taken",
            "organiser",
            {
                "concert_id": "{{concert_id}}",
                "items": [{"ticket_type": "balcony", "seats": ["B-1-1", "B-1-2", "B-1-4", "B-1-5"]}],
            },
            status=409,
            code="tickets_unavailable",
            tests={"leads to the free seats": "body.next.some(s => (s.href || '').endsWith('/seats'))"},
        ),
        Step(
            "create_concert",
            "A small concert",
            "organiser",
            concert("Hardly Any Places", capacity=1),
            keep={"small_concert_id": "body.id"},
        ),
        Step("publish_concert", "Put it on sale", "organiser", path={"concert_id": "small_concert_id"}),
        Step("book_tickets", "The last ticket", "buyer", tickets(1, concert="small_concert_id"), key="new"),
        Step(
            "book_tickets",
            "One too many",
            "organiser",
            tickets(1, concert="small_concert_id"),
            key="new",
            status=409,
            code="sold_out",
            tests={"leads to what is left": "body.next[0].href.endsWith('/availability')"},
        ),
    ],
    "5 Organiser: after the sale": [
        Step("get_sales", "Totals", "organiser"),
        Step("list_concert_bookings", "Who has booked", "organiser", query={"limit": "10"}),
        Step("export_concert_bookings", "The same for a spreadsheet", "organiser"),
        Step("list_rollouts", "Changes on their way to the bookings", "organiser"),
    ],
    "6 Failures: what a client can do wrong": [
        Step("get_profile", "No token", status=401, code="not_authenticated"),
        Step("login", "What is not JSON", body="{nope", status=400, code="malformed_json"),
        Step(
            "login",
            "A wrong password",
            body={"email": "{{buyer_email}}", "password": "not this one"},
            status=401,
            code="bad_credentials",
        ),
        Step(
            "register",
            "A field that does not exist",
            body={"email": "x@example.org", "password": PASSWORD, "name": "X", "roles": ["admin"]},
            status=422,
            code="invalid",
            tests={"names it": "body.errors.roles[0] === 'Unknown field.'"},
        ),
        Step(
            "register",
            "An address that is taken",
            body={
                "email": "{{buyer_email}}",
                "password": "{{password}}",
                "name": "Ben again",
            },
            status=409,
            code="email_taken",
        ),
        Step("book_tickets", "No Idempotency-Key", "buyer", tickets(1), status=400, code="idempotency_key_missing"),
        Step("create_concert", "A customer creates a concert", "buyer", concert("Mine"), status=403, code="forbidden"),
        Step(
            "get_booking",
            "Somebody else's booking",
            "organiser",
            status=404,
            code="not_found",
        ),
        Step(
            "get_concert",
            "A form that there is not",
            headers={"Accept": "text/html"},
            status=406,
            code="not_acceptable",
        ),
    ],
    "7 Documentation": [
        Step("get_document", "The OpenAPI document", tests={"is 3.1": "body.openapi.startsWith('3.1')"}),
        Step("show_docs", "The interactive page"),
        Step("get_docs_file", "What it loads", path={"file": "docs_file"}),
        Step("list_errors", "All codes"),
        Step("show_metrics", "What was counted", tests={"sales": "pm.response.text().includes('sales_total')"}),
    ],
}

#: What ends something, after all else.
ENDINGS: dict[str, list[Step]] = {
    "9 Endings": [
        Step(
            "cancel_booking",
            "Ben cancels",
            "buyer",
            tests={"is cancelled": "body.status === 'cancelled'"},
        ),
        Step("cancel_booking", "Twice", "buyer", status=409, code="already_cancelled"),
        Step("create_concert", "A draft in vain", "organiser", concert("Never Mind"), keep={"draft_id": "body.id"}),
        Step("delete_concert", "Delete it", "organiser", path={"concert_id": "draft_id"}),
        Step(
            "cancel_concert",
            "Call the small concert off",
            "organiser",
            path={"concert_id": "small_concert_id"},
            tests={"is called off": "body.status === 'cancelled'"},
        ),
        Step(
            "book_tickets",
            "Too late",
            "buyer",
            tickets(1, concert="small_concert_id"),
            key="new",
            status=409,
            code="concert_cancelled",
        ),
        Step(
            "refresh",
            "New tokens",
            "buyer_refresh",
            keep={"buyer_token": "body.access_token", "buyer_refresh_token": "body.refresh_token"},
        ),
        Step(
            "change_password",
            "A new password",
            "buyer",
            {"current_password": "{{password}}", "new_password": NEW_PASSWORD},
        ),
        login("buyer", "Log in with it", NEW_PASSWORD),
        Step("list_sessions", "The sessions that are left", "buyer", keep={"session_id": "body.items[0].id"}),
        Step("end_session", "End one", "buyer"),
        Step("get_profile", "Its token is worth nothing", "buyer", status=401, code="session_ended"),
        login("buyer", "Log in again", NEW_PASSWORD),
        Step(
            "export_data",
            "What is stored about him",
            "buyer",
            tests={"his bookings are among it": "body.bookings.length > 0"},
        ),
        Step("end_all_sessions", "End them all", "buyer"),
        login("buyer", "Log in for the last time", NEW_PASSWORD),
        Step("erase_account", "Have the account erased", "buyer"),
        Step(
            "login",
            "There is nobody of this name",
            body={"email": "{{buyer_email}}", "password": NEW_PASSWORD},
            status=401,
            code="bad_credentials",
        ),
        login("organiser"),
        Step("erase_account", "Organisers have duties", "organiser", status=409, code="has_duties"),
        Step("logout", "Olga logs out", "organiser"),
        Step("list_own_concerts", "Her token is worth nothing", "organiser", status=401, code="session_ended"),
    ],
}

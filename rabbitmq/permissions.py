"""Who may call whom."""

#: Who calls which methods of whom. A call that is not here does not reach its service.
CALLS: dict[str, dict[str, tuple[str, ...]]] = {
    "gateway": {
        "auth_svc": (
            "get_profile",
            "login",
            "logout",
            "ping",
            "refresh",
            "register",
            "set_roles",
            "update_profile",
        ),
        "concert_svc": (
            "create_concert",
            "get_concert",
            "list_concerts",
            "ping",
            "publish_concert",
        ),
        "booking_svc": (
            "book_hold",
            "book_tickets",
            "cancel_booking",
            "extend_hold",
            "get_availability",
            "get_booking",
            "get_hold",
            "get_seats",
            "hold_tickets",
            "list_bookings",
            "ping",
            "release_hold",
        ),
        "mailer_svc": ("ping",),
    },
    "concert_svc": {
        "booking_svc": ("set_sales_terms",),
    },
    "mailer_svc": {
        "auth_svc": ("get_contact",),
    },
}

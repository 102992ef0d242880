"""What booking_svc counts, in Prometheus' form, beside what every service counts."""

from prometheus_client import Gauge

oversold = Gauge(
    "oversold_tickets",
    "Tickets sold twice, or beyond what there is, when their concerts were counted last. Anything but 0 is a breach.",
)
counted = Gauge("concerts_counted", "Concerts that this process has counted.")
oversold.set(0)

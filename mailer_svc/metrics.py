"""What the mailer counts, in Prometheus' form, beside what every service counts."""

from prometheus_client import Counter, Gauge

sent = Counter("mails_sent", "Mails that the mail server has taken.", ["document"])
failed = Counter("mails_failed", "Mails that were given up: refused for good, or not taken in time.", ["document"])
retried = Counter("mails_retried", "Tries after which a mail was to be tried again.", ["document"])
waiting = Gauge("mails_waiting", "Mails in the ledger that are to be sent, now or after a pause.")
oldest = Gauge("mails_oldest_seconds", "Age of the mail that has waited longest.")
under_way = Gauge("mails_under_way", "Mails that this process is sending.")

"""What the stored sales terms promise, whether they lie in MongoDB or in a test's memory."""

import pytest

from booking_svc.contract import ConcertNotFound
from booking_svc.terms import Terms
from tests.unit.booking_svc.concerts import terms


class TermsContract:
    """Needs the fixtures `stored_terms` and `concert_id`, a concert nobody else uses."""

    def test_concert_nothing_was_sold_for_is_not_found(self, stored_terms: Terms, concert_id: str) -> None:
        with pytest.raises(ConcertNotFound):
            stored_terms.newest(concert_id)
        with pytest.raises(ConcertNotFound):
            stored_terms.at_least(concert_id, 1)

    def test_terms_in_force_are_the_newest(self, stored_terms: Terms, concert_id: str) -> None:
        first, second = terms(concert_id, version=1), terms(concert_id, version=2, title="Night of the Flutes")
        assert stored_terms.set(first).terms == first
        assert stored_terms.set(second).terms == second
        assert stored_terms.newest(concert_id).terms == second

    def test_older_terms_are_ignored(self, stored_terms: Terms, concert_id: str) -> None:
        newer = terms(concert_id, version=2)
        stored_terms.set(newer)
        assert stored_terms.set(terms(concert_id, version=1, title="Night of the Flutes")).terms == newer
        assert stored_terms.newest(concert_id).terms == newer

    def test_the_same_terms_may_be_set_again(self, stored_terms: Terms, concert_id: str) -> None:
        same = terms(concert_id)
        assert stored_terms.set(same).terms == stored_terms.set(same).terms == same

    def test_terms_are_at_least_what_redis_knew(self, stored_terms: Terms, concert_id: str) -> None:
        stored_terms.set(terms(concert_id, version=1))
        stored_terms.set(terms(concert_id, version=2))
        assert stored_terms.at_least(concert_id, 1).version == 2
        assert stored_terms.at_least(concert_id, 2).version == 2

    def test_terms_once_read_are_known(self, stored_terms: Terms, concert_id: str) -> None:
        with pytest.raises(ConcertNotFound):
            stored_terms.known(concert_id)
        stored_terms.set(terms(concert_id, version=3))
        assert stored_terms.known(concert_id).version == 3

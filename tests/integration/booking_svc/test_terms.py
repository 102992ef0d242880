import pytest
from pymongo.database import Database

from booking_svc.terms import Terms
from rabbitmq.database import Document
from tests.integration.booking_svc.crowd import all_at_once
from tests.unit.booking_svc.concerts import new_id, terms
from tests.unit.booking_svc.terms_contract import TermsContract


class TestTerms(TermsContract):
    pass


@pytest.fixture
def other_process(mongo: Database[Document]) -> Terms:
    return Terms(mongo)


def test_what_another_process_set_is_read_when_redis_knows_of_it(
    stored_terms: Terms, other_process: Terms, concert_id: str
) -> None:
    stored_terms.set(terms(concert_id, version=1))
    other_process.set(terms(concert_id, version=2))
    assert stored_terms.at_least(concert_id, 1).version == 1  # from memory
    assert stored_terms.at_least(concert_id, 2).version == 2
    assert stored_terms.newest(concert_id).version == 2


def test_newest_of_terms_set_at_once_are_in_force(stored_terms: Terms) -> None:
    for _ in range(20):  # the race is for the first write
        concert_id = new_id()
        in_force = all_at_once(8, lambda number: stored_terms.set(terms(concert_id, version=number)))  # noqa: B023
        assert all(answer.version >= number for number, answer in enumerate(in_force))
        assert stored_terms.newest(concert_id).version == 7

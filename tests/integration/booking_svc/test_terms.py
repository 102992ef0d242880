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


@pytest.mark.parametrize(("concerts", "rows_in_all"), [(3, 1000), (1000, 3)], ids=["concerts", "rows"])
def test_as_many_concerts_are_remembered_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, stored_terms: Terms, other_process: Terms, concerts: int, rows_in_all: int
) -> None:
    monkeypatch.setattr("booking_svc.terms.REMEMBERED", concerts)
    monkeypatch.setattr("booking_svc.terms.ROWS", 2 * rows_in_all)
    two_rows = {"gallery": {"seating": [{"section": "G", "rows": ["1", "2"], "seats_per_row": 5}]}}
    ids = [new_id() for _ in range(5)]
    for process, version in ((stored_terms, 1), (other_process, 2)):
        for concert_id in ids:
            process.set(terms(concert_id, version=version, seating=two_rows))
    assert [stored_terms.known(concert_id).version for concert_id in reversed(ids)] == [1, 1, 1, 2, 2]

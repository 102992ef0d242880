"""The fakes keep the same promises as what they stand for."""

from tests.unit.concert_svc.concerts_contract import ConcertsContract


class TestFakeConcerts(ConcertsContract):
    pass

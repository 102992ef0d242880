from bench.programme import LIMIT
from bench.soak import MOST, concerts_for


def test_nobody_meets_the_limit_before_all_is_booked() -> None:
    buyers, seconds = 5000, 600
    concerts = concerts_for(buyers, seconds)
    turns = range(min(MOST * seconds, buyers * concerts))
    assert len({(turn % buyers, turn % concerts) for turn in turns}) == len(turns)
    assert buyers * concerts * LIMIT >= MOST * seconds

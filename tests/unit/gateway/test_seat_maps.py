"""A seat map is written once for each state, in the form that its schema promises."""

import gzip
import json

from booking_svc.contract import SeatedType
from gateway import schemas, seat_maps
from gateway.seat_maps import SeatMaps

TYPES: list[SeatedType] = [
    {"code": "stalls", "seating": [{"section": "S", "rows": ["2", "1"], "seats_per_row": 2}], "states": "ahbx"},
    {
        "code": "box-1_a",
        "seating": [
            {"section": "L", "rows": ["A"], "seats_per_row": 1},
            {"section": "R", "rows": ["A"], "seats_per_row": 1},
        ],
        "states": "ba",
    },
]


def test_seat_map_names_each_seat_with_its_type_and_state() -> None:
    written = json.loads(seat_maps.write(TYPES))
    assert [tuple(item.values()) for item in written["items"]] == [
        ("S-2-1", "stalls", "available"),
        ("S-2-2", "stalls", "held"),
        ("S-1-1", "stalls", "booked"),
        ("S-1-2", "stalls", "blocked"),
        ("L-A-1", "box-1_a", "booked"),
        ("R-A-1", "box-1_a", "available"),
    ]
    assert schemas.SeatMap().load(written) == schemas.SeatMap().dump(written) == written


def test_concert_without_seats_has_an_empty_map() -> None:
    assert json.loads(seat_maps.write([])) == {"items": []}


def test_map_of_fifty_thousand_seats_is_compact() -> None:
    seating = [{"section": s, "rows": [str(r) for r in range(1, 51)], "seats_per_row": 100} for s in "ABCDEFGHIJ"]
    written = SeatMaps().add("c", "t1", [{"code": "hall", "seating": seating, "states": "ahb" * 16_666 + "xx"}])  # type: ignore[typeddict-item]
    assert len(json.loads(gzip.decompress(written.gzipped))["items"]) == 50_000
    assert len(written.gzipped) < 400_000


def test_last_maps_are_kept_and_the_oldest_forgotten() -> None:
    maps = SeatMaps()
    assert maps.find("c0") is None
    for number in range(seat_maps.KEPT + 1):
        maps.add(f"c{number}", "t1", TYPES)
        maps.find("c0")  # who is asked for is not old
    assert maps.find("c1") is None
    assert maps.find("c0") and maps.find(f"c{seat_maps.KEPT}")
    maps.add("c0", "t2", [])
    found = maps.find("c0")
    assert found and found.tag == "t2"

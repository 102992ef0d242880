import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import ports
from local.settings import StackFailed


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_chosen_ports_are_free_distinct_and_below_those_of_outgoing_connections() -> None:
    names = [f"server {number}" for number in range(50)]
    lowest_ephemeral = int(ports.EPHEMERAL_RANGE.read_text().split()[0])
    with ports.chosen(names, {}) as chosen:
        assert list(chosen) == names
        assert len(set(chosen.values())) == 50
        assert all(ports.LOWEST <= port < lowest_ephemeral for port in chosen.values())
        assert not any(ports.refusal(port) for port in chosen.values())


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    with ports.chosen(["redis", "mongod"], {}) as first:
        ports.remember(tmp_path / "ports.json", first)
    with ports.chosen(["redis", "mongod"], ports.remembered(tmp_path / "ports.json")) as second:
        assert second == first


def test_two_stacks_that_start_at_once_choose_other_ports() -> None:
    with ports.chosen(["redis", "mongod"], {}) as first, ports.chosen(["redis", "mongod"], first) as second:
        assert not set(first.values()) & set(second.values())


def test_a_port_that_was_taken_meanwhile_is_replaced(taken: int) -> None:
    with ports.chosen(["redis", "mongod"], {"redis": taken, "mongod": taken}) as chosen:
        assert taken not in chosen.values()


def test_nothing_is_remembered_before_the_first_run(tmp_path: Path) -> None:
    assert ports.remembered(tmp_path / "ports.json") == {}


def test_connections_that_are_still_closing_do_not_take_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        served.close()  # first to close, so this end waits for a while
        client.close()
    assert ports.refusal(port) is None


def test_a_port_is_claimed_by_one_stack_at_a_time() -> None:
    with ports.chosen(["api"], {}) as chosen:
        port = chosen["api"]
    with ports.claimed(port, "127.0.0.1"):
        refused = pytest.raises(StackFailed, match=f"cannot listen on 127.0.0.1:{port}: Another stack")
        with refused, ports.claimed(port, "127.0.0.1"):
            pytest.fail("claimed twice")
        assert ports.refusal(port) is None, "the claim must not keep the gateway out"
    with ports.claimed(port, "127.0.0.1"):
        pass


def test_a_port_in_use_cannot_be_claimed(taken: int) -> None:
    with pytest.raises(StackFailed, match="Address already in use"), ports.claimed(taken, "127.0.0.1"):
        pytest.fail("claimed a port in use")

"""Five times as many bookings as can be sold: those that are let in are quick, the others hear of it at once."""

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from multiprocessing import get_context
from statistics import mean
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bench import stack as benches
from bench.crowd import gather
from bench.measure import measure
from bench.programme import GENERAL, PASSWORD, Programme
from bench.scenarios import bookings
from tests.e2e.open_loop import Answers, send

TIMES, SECONDS = 5, 60
#: Seconds, once before and twice after, in which the platform shows what it can do at most: long enough for mails to be
#: written meanwhile, as they are under the load. The machine is not equally fast all the time: their mean counts.
PEAK = 20
#: With no divisor in common, so that everybody buys for every concert before the limit per person is met.
BUYERS, CONCERTS = 2000, 7
#: Connections with which the platform does as much as it can.
FULL = 64
#: A look at the sizes for so many at health: each takes 50 ms of the processor.
SIZES = 5
#: By how many MiB a program may grow; MongoDB caches what is sold, and twenty passwords are hashed at once.
GROWTH, GROWTH_OF = 64, {"mongod": 512, "auth_svc": 20 * 19 + 64}
#: By how many descriptors and threads: the gateway's clients, 1,000 a process, and what it had not begun yet.
CLIENTS, BEGUN = 2000, 64


def purchases(tokens: list[str], concerts: list[str]) -> Iterator[bytes]:
    """Each with a key of its own."""
    items, flood = [{"ticket_type": GENERAL, "quantity": 1}], uuid.uuid4().hex
    bodies = [json.dumps({"concert_id": concert_id, "items": items}) for concert_id in concerts]
    for number, token, body in zip(itertools.count(), itertools.cycle(tokens), itertools.cycle(bodies)):
        yield (
            "POST /v1/bookings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nIdempotency-Key: {flood}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def flood(api_url: str, tokens: list[str], concerts: list[str], each_second: float) -> Answers:
    address = urlsplit(api_url)
    assert address.hostname and address.port
    return send(address.hostname, address.port, purchases(tokens, concerts), each_second, SECONDS)


def sizes(processes: Mapping[str, int]) -> dict[str, tuple[int, int, int]]:
    """MiB, descriptors and threads of each program and its children."""
    found = {}
    for name, pid in processes.items():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        memory = sum(process.memory_info().rss for process in family) >> 20
        found[name] = (memory, sum(p.num_fds() for p in family), sum(p.num_threads() for p in family))
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
def test_five_times_the_load_is_shed_and_as_much_is_sold_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    with benches.running() as stack, httpx.Client(base_url=stack.api_url, timeout=20) as client:
        programme = Programme(stack.facts)
        crowd = gather(stack.facts, programme, BUYERS)
        concerts = [programme.concert() for _ in range(CONCERTS)]
        full = bookings(crowd, concerts)
        measure(stack, full, FULL, 3)
        before_it = measure(stack, full, FULL, PEAK).rate
        before = sizes(stack.processes())
        beside: dict[str, list[tuple[int, float]]] = {"health": [], "log in": []}

        def note(what: str, answer: httpx.Response) -> None:
            beside[what].append((answer.status_code, answer.elapsed.total_seconds()))

        with get_context("spawn").Pool(1) as pool:
            flooding = pool.apply_async(flood, (stack.api_url, crowd.tokens, concerts, TIMES * before_it))
            biggest = before
            while not flooding.ready():
                note("health", client.get("/health/live"))
                body = {"email": crowd.emails[len(beside["log in"])], "password": PASSWORD}
                note("log in", client.post("/v1/auth/login", json=body))
                if len(beside["health"]) % SIZES == 0:
                    now = sizes(stack.processes())
                    biggest = {name: tuple(map(max, biggest[name], now[name])) for name in before}  # type: ignore[misc]
                flooding.wait(1)
            answers = flooding.get()
        afterwards = [measure(stack, full, FULL, PEAK).rate for _ in range(2)]
        is_sound, said = stack.audit()

    sold, peak = answers.counted[201] / SECONDS, mean([before_it, *afterwards])
    with capsys.disabled():
        print(
            f"\n  at most {before_it:.0f} bookings/s before, {afterwards[0]:.0f} and {afterwards[1]:.0f} afterwards; "
            f"asked for {answers.asked / SECONDS:.0f}"
        )
        print(f"  sold {sold:.0f}/s, {100 * sold / peak:.0f} %; answers {dict(answers.counted)}")
        for status in sorted(answers.counted):
            parts = ", ".join(f"{answers.percentile(status, part):.3f}" for part in (0.5, 0.95, 0.99, 1))
            print(f"  {status}: seconds at 50, 95, 99 and 100 %: {parts}")
        for what, told in beside.items():
            print(f"  {what}: {len(told)} times, longest {max(took for _, took in told):.3f} s")
        for name in before:
            if before[name] != biggest[name]:
                print(f"  {name}: MiB, descriptors, threads {before[name]}, at most {biggest[name]}")
        print(f"  the load was {answers.late:.3f} s late at worst, with {answers.most_open} connections")
    assert set(answers.counted) <= {201, 429, 503}
    assert answers.without_retry_after == 0
    assert answers.percentile(201, 0.99) < 1
    assert answers.percentile(503, 0.5) < 0.5
    assert sold >= 0.85 * peak
    assert max(afterwards) >= 0.85 * peak
    for told in beside.values():
        assert {status for status, _ in told} == {200}
        assert max(took for _, took in told) < 5
    for name, (memory, descriptors, threads) in before.items():
        assert biggest[name][0] <= memory + GROWTH_OF.get(name, GROWTH), name
        assert biggest[name][1] <= descriptors + CLIENTS * (name == "gateway") + BEGUN, name
        assert biggest[name][2] <= threads + BEGUN, name
    assert is_sound, said

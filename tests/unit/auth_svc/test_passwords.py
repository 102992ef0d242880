"""Passwords are hashed as OWASP asks, and an unknown user takes as long as a wrong password."""

import subprocess
import sys

import argon2
import pytest

from auth_svc import passwords


def test_hash_is_argon2id_with_the_parameters_it_was_made_with() -> None:
    parameters = argon2.extract_parameters(passwords.hash_password("correct horse battery"))
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert parameters.salt_len >= 16 and parameters.hash_len >= 32


def test_password_matches_its_own_hash_only() -> None:
    hashed = passwords.hash_password("correct horse battery")
    assert passwords.verify("correct horse battery", hashed)
    assert not passwords.verify("correct horse batterY", hashed)
    assert not passwords.verify("", hashed)


def test_same_password_has_another_hash_each_time() -> None:
    assert passwords.hash_password("correct horse battery") != passwords.hash_password("correct horse battery")


@pytest.mark.parametrize("password", ["пароль с пробелами 🎻", "nul \x00 inside", "x" * 1024])
def test_every_character_counts(password: str) -> None:
    hashed = passwords.hash_password(password)
    assert passwords.verify(password, hashed)
    assert not passwords.verify(password[:-1], hashed)


def test_unknown_user_has_no_password() -> None:
    assert not passwords.verify("nobody has this password", None)


def test_unknown_user_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = passwords._matches

    def watched(password: str, hashed: str) -> bool:
        verified.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(passwords, "_matches", watched)
    known = passwords.hash_password("correct horse battery")
    assert not passwords.verify("wrong password", known)
    assert not passwords.verify("wrong password", None)
    assert verified[0] == known
    assert [argon2.extract_parameters(h) for h in verified] == [argon2.extract_parameters(known)] * 2


def test_password_is_the_same_however_its_characters_are_composed() -> None:
    assert passwords.verify("pa\u0308ssword of mine", passwords.hash_password("p\u00e4ssword of mine"))


def test_hash_with_older_parameters_is_outdated() -> None:
    older = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse battery")
    assert passwords.verify("correct horse battery", older)
    assert passwords.is_outdated(older)
    assert not passwords.is_outdated(passwords.hash_password("correct horse battery"))


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
def test_broken_hash_fits_no_password(broken: str) -> None:
    assert not passwords.verify("", broken or None)


def in_eventlet(program: str) -> str:
    """What *program* prints in a process of its own, with eventlet in charge as in the service."""
    head = "import eventlet; eventlet.monkey_patch()\nfrom auth_svc import passwords\n"
    done = subprocess.run(
        [sys.executable, "-c", head + program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_flood_is_turned_away_and_few_hash_at_once() -> None:
    """The others are answered at once; who waits is answered, too."""
    printed = in_eventlet(
        """
import time
from rabbitmq.errors import Unavailable
running = most = 0
real = passwords._matches
def watched(*args):
    global running, most
    running += 1
    most = max(most, running)
    time.sleep(0.02)
    try: return real(*args)
    finally: running -= 1
passwords._matches = watched
def log_in(_):
    try: return passwords.verify("wrong", None)
    except Unavailable: return "shed"
answers = list(eventlet.GreenPool(200).imap(log_in, range(200)))
print(most, answers.count("shed"), answers.count(False))
"""
    )
    most, shed, answered = map(int, printed.split())
    assert most <= passwords.AT_ONCE
    assert shed + answered == 200
    assert passwords.AT_ONCE <= answered <= passwords.AT_ONCE + passwords.WAITING + 1


def test_hashing_stops_nothing_else_and_yields_the_processor() -> None:
    printed = in_eventlet(
        """
import os, threading, time
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        eventlet.sleep(0.001)
eventlet.spawn(tick)
passwords.hash_password("correct horse battery")
before = ticks
for _ in range(5): passwords.hash_password("correct horse battery")
nice = passwords._in_turn(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
print(ticks - before, nice, os.getpriority(os.PRIO_PROCESS, 0))
"""
    )
    ticks, nice, ours = map(int, printed.split())
    assert ticks >= 5
    assert (nice, ours) == (passwords.NICENESS, 0) or nice == min(19, ours + passwords.NICENESS) or nice > ours

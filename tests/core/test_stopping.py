"""Interrupts wait for the end of what cannot be interrupted."""

import os
import signal
import threading

import pytest

from invgen.core.stopping import deferred_interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_interrupt_waits_and_a_second_does_not(number):
    before = signal.signal(number, signal.default_int_handler)
    try:
        with deferred_interrupts() as interrupted:
            assert not interrupted()
            os.kill(os.getpid(), number)
            assert interrupted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_handler_of_someone_else_stays():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with deferred_interrupts() as interrupted:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not interrupted()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_deferred():
    found = []

    def work():
        with deferred_interrupts() as interrupted:
            found.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]

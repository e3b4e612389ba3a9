"""Dask: connecting to a scheduler or starting workers here, and what is said where that is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from invgen.core.errors import CapabilityError, ClusterError, ParameterError
from invgen.core.files import temporary_folder
from invgen.core.text import brief

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ANSWER", "answering", "connected", "require_client", "result_of"]

T = TypeVar("T")

#: Seconds that a scheduler may take to answer.
ANSWER = 30.0

#: Nobody looks at profiles of workers that end with the command. And memory that dask has the allocator give
#: back at every chance is asked for again by the next slice: filtered backprojection took twice the time.
_OF_OWN_WORKERS = {
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


@contextmanager
def connected(address: str | None, workers: int | None = None) -> Iterator[Client | None]:
    """The scheduler at an address, or one of this process with workers of a thread each; None of neither.

    Workers that were started here end with the block.

    Raises
    ------
    ClusterError
        Where nothing answers at the address.
    CapabilityError
        Where dask is not installed.
    """
    if address is None and workers is None:
        yield None
        return
    if address is not None and workers is not None:
        raise ParameterError(
            "--workers starts processes here, and --dask takes those of a cluster: give one."
        )
    option = "--workers" if address is None else "--dask"
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise CapabilityError(f"{option} needs dask: pip install 'invgen[dask]'.") from None
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if address is None:
            folder = stack.enter_context(temporary_folder())
            stack.enter_context(dask.config.set(_OF_OWN_WORKERS))
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # jobs keep to bounds of their own
                local_directory=str(folder),
                dashboard_address=":0",
                preload=["invgen.pipeline.chunks"],
                silence_logs=logging.CRITICAL,
            )
            address = stack.enter_context(local)
        try:
            with ThreadPoolExecutor(1) as thread:  # in this one a loop of events may run, as in notebooks
                thread.submit(lambda: asyncio.run(_greet(address))).result()
            client = Client(address, timeout=ANSWER)
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(
                f"--dask {address}: no scheduler answers there ({brief(error)}). Give the address that "
                "`dask scheduler` prints, such as tcp://10.0.0.1:8786."
            ) from error
        yield stack.enter_context(client)


async def _greet(address: str) -> None:
    """Connect to a scheduler once, before there is a client.

    One that fails to connect closes when it is collected: in the thread that the next one starts, that waits
    for a lock which the next one holds.
    """
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    (await connect(address, timeout=ANSWER, **arguments)).abort()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask from logging what errors say."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def require_client(executor: Any) -> Client:
    """A client of dask, which is given as an executor.

    Raises
    ------
    ParameterError
        For anything else.
    CapabilityError
        Where dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError:
        raise CapabilityError("executor= needs dask: pip install 'invgen[dask]'.") from None
    if not isinstance(executor, Client):
        got = type(executor).__name__
        raise ParameterError(f"executor= takes a client of dask, distributed.Client(address); got a {got}.")
    if executor.asynchronous:
        raise ParameterError("executor= takes a client that waits: Client(address), not asynchronous=True.")
    return executor


def result_of(future: Future[T]) -> T:
    """What came of a future of a client, which has cancelled it where the scheduler is gone.

    Raises
    ------
    ClusterError
        Likewise.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise _lost(error) from None


def _lost(error: BaseException) -> ClusterError:
    why = f" ({text})" if (text := brief(error)) else ""
    return ClusterError(f"The scheduler of dask does not answer any more{why}.")


@contextmanager
def answering() -> Iterator[None]:
    """Say in words where the scheduler does not answer.

    Raises
    ------
    ClusterError
    """
    try:
        yield
    except (OSError, RuntimeError, CancelledError) as error:
        raise _lost(error) from error

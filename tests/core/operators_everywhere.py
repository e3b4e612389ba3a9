"""Operators called in several threads, in forked and in spawned processes: ``operators_everywhere.py WHERE``.

A program of its own, run by `test_threads.py`: what goes wrong here ends or stops the whole process.
"""

import multiprocessing
import sys
import threading

import torch

from invgen.convex.dual_step import dual_step
from invgen.convex.functions import GroupL1
from invgen.core.threads import thread_count
from invgen.operators import MRI, ConeBeam, FanBeam, Gradient, NonCartesianMRI, Radon, Wavelet

#: Seconds after which a child hangs.
PATIENCE = 120


def random(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


MASK, COILS = random(40, 48, seed=0) > 0, torch.complex(random(3, 40, 48, seed=1), random(3, 40, 48, seed=2))
DIFFERENCES = Gradient((256, 200))
OPERATORS = {
    "Joseph": Radon((64, 60), 40, method="joseph"),
    "Fourier": Radon((128, 120), 60),
    "fan": FanBeam((48, 40), 40, 90.0, 140.0),
    "cone": ConeBeam((8, 20, 20), 24, 50.0, 80.0),
    "wavelet": Wavelet((64, 64)),
    "gradient": DIFFERENCES,
    "MRI": MRI((40, 48), MASK, COILS),
    "radial MRI": NonCartesianMRI((40, 48), random(900, 2, seed=3).double() / 8, COILS),
}


def results(names):
    """What each of some operators gives for the same data."""
    found = {}
    for name in names:
        A = OPERATORS[name]
        x, y = A.domain.random(seed=4, dtype=torch.float32), A.range.random(seed=5, dtype=torch.float32)
        found[name] = [A(x), A.H(y), A.gram(x)]
    K = DIFFERENCES
    y, x = K.range.random(seed=6, dtype=torch.float32), K.domain.random(seed=7, dtype=torch.float32)
    found["dual step"] = [dual_step(K, GroupL1(0.7, axis=-3), y, 0.3, x)]
    return found


def check(found, expected, where):
    for name, values in found.items():
        for value, reference in zip(values, expected[name], strict=True):
            assert torch.equal(value, reference), f"{name} differs in {where}"


def in_threads(expected):
    errors = []

    def work(start):
        names = list(OPERATORS)
        try:
            for _ in range(3):
                check(results(names[start:] + names[:start]), expected, f"thread {start}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


def child(expected):
    check(results(OPERATORS), expected, "a child")


def parent_of_a_child(expected):
    assert thread_count() == torch.get_num_threads() == 1
    torch.set_num_threads(2)
    assert thread_count() == 1  # OpenMP is as unsafe as before
    torch.set_num_threads(1)
    child(expected)
    fork(child, expected)


def join(process):
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.kill()
    assert code == 0, f"the child {'hangs' if code is None else f'ended with {code}'}"


class Examples(torch.utils.data.Dataset):
    """Simulated measurements, as a network is trained on."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return results(OPERATORS)


def fork(target, *arguments):
    join(multiprocessing.get_context("fork").Process(target=target, args=arguments))


def in_forks(expected):
    beside_the_compiler()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            results(OPERATORS)

    beside = threading.Thread(target=work)
    beside.start()
    try:
        fork(parent_of_a_child, expected)
    finally:
        stop.set()
        beside.join()
    workers = {"num_workers": 2, "multiprocessing_context": "fork", "timeout": PATIENCE}
    for found in torch.utils.data.DataLoader(Examples(), batch_size=None, **workers):
        check(found, expected, "a worker of a DataLoader")


def beside_the_compiler():
    """Fork while another thread compiles."""
    from numba.core.compiler_lock import global_compiler_lock

    compiling, done = threading.Event(), threading.Event()

    def work():
        with global_compiler_lock:
            compiling.set()
            done.wait()

    beside = threading.Thread(target=work)
    beside.start()
    compiling.wait()
    threading.Timer(0.2, done.set).start()
    fork(compiling_child)
    beside.join()


def compiling_child():
    from numba import njit

    assert njit(lambda n: n + 1)(1) == 2


def in_spawned_processes(expected):
    join(multiprocessing.get_context("spawn").Process(target=child, args=(expected,)))


if __name__ == "__main__":
    torch.set_num_threads(2)
    globals()[f"in_{sys.argv[1]}"](results(OPERATORS))
    assert torch.get_num_threads() == 2

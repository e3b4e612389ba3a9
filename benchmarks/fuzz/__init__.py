"""A mutation fuzzer for every reader: ``python -m benchmarks.fuzz --seconds 600``.

`seeds` writes small files of each kind, `mutations` damages them, `subjects` reads them as a user does, and
`runner` does each of it in a process of its own, with limits of time and memory. A mutant follows from the
seed and its number alone.
"""

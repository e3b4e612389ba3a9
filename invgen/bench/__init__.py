"""The comparison benchmark: methods, priors and other packages on the same problems.

>>> import invgen as ig
>>> print(ig.bench.run(my_method, "ct-sparse", quick=True))

`my_method` is any callable ``problem -> image``. A suite of one's own is an `ImageSuite`, or a TOML file.
"""

from invgen.bench.benchmark import Benchmark, run
from invgen.bench.entries import entry, wavelets
from invgen.bench.export import write_parquet
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import MEASURES, Instance, Measure
from invgen.bench.record import Cell, Outcome, Record
from invgen.bench.report import write_report
from invgen.bench.store import Results
from invgen.bench.suite import Entry, Knob, Suite, Task
from invgen.bench.suites import SUITES, load_suites

__all__ = [
    "MEASURES",
    "SUITES",
    "Benchmark",
    "Cell",
    "Entry",
    "ImageSuite",
    "Instance",
    "Knob",
    "Measure",
    "Outcome",
    "Record",
    "Results",
    "Suite",
    "Task",
    "entry",
    "load_suites",
    "run",
    "wavelets",
    "write_parquet",
    "write_report",
]

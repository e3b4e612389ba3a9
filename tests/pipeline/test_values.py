"""Values of options: what is read is what is written, and what is no such value is refused."""

import json
import math

import numpy as np
import pytest

from invgen.core.errors import ParameterError
from invgen.pipeline.quantities import Angles, Degrees, Lengths, Side, Sizes
from invgen.pipeline.values import Choice, Count, Flag, Name, Number, Settings, Slices, select

TEXTS = [
    (Slices(), "2:4", slice(2, 4)),
    (Slices(), "::4", slice(None, None, 4)),
    (Slices(), "7", slice(7, 8)),
    (Slices(), "-1", slice(-1, None)),
    (Slices(), "3:", slice(3, None)),
    (Degrees(), "0:90", (0.0, math.pi / 2)),
    (Degrees(), "350.5:20", (math.radians(350.5), math.radians(20))),
    (Angles(), "0:180:4", tuple(np.deg2rad([0.0, 45, 90, 135]).tolist())),
    (Angles(), "10.5:-349.5:720", tuple(np.deg2rad(np.linspace(10.5, -349.5, 720, endpoint=False)).tolist())),
    (Angles(), "entry/angles", "entry/angles"),
    (Lengths(), "0.24", 0.24),
    (Lengths(), "0.24,0.2", (0.24, 0.2)),
    (Sizes(), "256x192", (256, 192)),
    (Side(), "256x192", (256, 192)),
    (Side(), "256", 256),
    (Count(), "3", 3),
    (Count(least=0), "0", 0),
    (Number(), "1e-3", 1e-3),
    (Choice(("hann", "cosine")), "hann", "hann"),
    (Name(), "exchange/data", "exchange/data"),
]


@pytest.mark.parametrize(("value", "text", "meant"), TEXTS, ids=lambda case: str(case)[:20])
def test_what_is_typed_is_read_and_written_again(value, text, meant):
    assert value.read(text) == meant
    assert value.check(meant, "--option") == meant
    assert value.read(str(value.write(meant))) == meant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Slices(), "a:b"),
        (Slices(), "1:2:0"),
        (Slices(), "::-1"),
        (Slices(), "1:2:3:4"),
        (Degrees(), "90"),
        (Degrees(), "0:90:2"),
        (Lengths(), "wide"),
        (Sizes(), "wide"),
        (Sizes(), "0x3"),
        (Side(), "0"),
        (Side(), "1x2x3"),
        (Side(), "wide"),
        (Count(), "0"),
        (Count(), "2.5"),
        (Number(), "much"),
        (Choice(("hann",)), "flat"),
        (Settings(), "zeta"),
        (Settings(), "zeta="),
        (Settings(), "2=3"),
    ],
)
def test_what_cannot_be_read(value, text):
    with pytest.raises(ValueError, match=r"is no|is not|is none|is neither|less than"):
        value.read(text)


@pytest.mark.parametrize(
    ("value", "given", "meant"),
    [
        (Count(), np.int64(5), 5),
        (Slices(), np.int64(5), slice(5, 6)),
        (Slices(), range(2, 8, 2), slice(2, 8, 2)),
        (Slices(), range(2, 8), slice(2, 8)),
        (Slices(), slice(np.int64(1), None), slice(1, None)),
        (Number(), "auto", None),
        (Number(), 2, 2.0),
        (Angles(), np.array([0.0, 1.0]), (0.0, 1.0)),
        (Lengths(), [0.2], 0.2),
        (Sizes(), [np.int64(4), 3], (4, 3)),
        (Side(), [np.int64(4), 3], (4, 3)),
        (Side(), (4, 4), 4),
        (Side(), np.int64(4), 4),
        (Settings(), {"sigma_range": [0.1, 2]}, {"sigma_range": (0.1, 2)}),
        (Settings(), {"cg_steps": np.int64(3), "on": True}, {"cg_steps": 3, "on": True}),
    ],
)
def test_python_may_give_them_in_other_forms(value, given, meant):
    found = value.check(given, "--option")
    assert found == meant
    assert type(found) is type(meant)
    json.dumps(None if found is None else value.write(found))


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (Count(), True),
        (Count(), 5.0),
        (Count(), 0),
        (Slices(), True),
        (Slices(), "2:4"),
        (Slices(), slice(0, 4, -1)),
        (Slices(), slice(0, 4.0)),
        (Number(), True),
        (Number(), "much"),
        (Flag(), 1),
        (Name(), 3),
        (Choice(("hann",)), "flat"),
        (Degrees(), (1.0,)),
        (Degrees(), "0:90"),
        (Angles(), 3),
        (Angles(), ()),
        (Lengths(), "0.24"),
        (Sizes(), (4, True)),
        (Sizes(), "4x4"),
        (Settings(), [("zeta", 0.3)]),
    ],
)
def test_what_is_no_such_value_is_refused(value, given):
    with pytest.raises(ParameterError, match="--option"):
        value.check(given, "--option")


def test_settings_are_numbers_truth_values_words_and_pairs():
    texts = {
        "zeta=0.3": 0.3,
        "n=3": 3,
        "on=true": True,
        "off=false": False,
        "scale=auto": "auto",
        "sigma_range=0.01,2": (0.01, 2),
    }
    for text, value in texts.items():
        ((_, found),) = Settings().read(text).items()
        assert found == value
        assert type(found) is type(value)


def test_angles_that_are_no_steps_have_no_text():
    assert Angles().write((0.0, 0.1, 0.3)) is None


def test_degrees_of_any_radians_are_within_rounding():
    value = (1.0, 2.000000001)
    assert Degrees().read(Degrees().write(value)) == pytest.approx(value, rel=1e-15)


def test_a_selection_of_nothing_is_refused():
    assert select(None, 4, "slices") == range(4)
    assert select(slice(1, None, 2), 4, "slices") == range(1, 4, 2)
    with pytest.raises(ParameterError, match="--views selects none of the 4 views, 0 to 3"):
        select(slice(9, None), 4, "views")

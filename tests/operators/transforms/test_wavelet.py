"""The wavelet transform against PyWavelets, and what makes a transform a wavelet transform."""

import math

import pytest
import pywt
import torch

from invgen.core.errors import ParameterError
from invgen.operators import Identity, Wavelet

from ...contracts.numbers import normal

VOLUME = (-3, -2, -1)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5", "coif3", "bior4.4", "rbio3.1", "dmey"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((32, 48), (-2, -1)),
        ((16, 8, 24), VOLUME),
        ((3, 16, 8), (-2, -1)),
        ((8, 5, 16), (0, 2)),
        ((64,), (0,)),
    ],
)
def test_coefficients_are_those_of_pywavelets(wavelet, shape, axes):
    x = normal(*shape, dtype=torch.complex128)
    W = Wavelet(shape, wavelet, levels=3, axes=axes, field="complex")
    coefficients = pywt.wavedecn(x.numpy(), wavelet, "periodization", 3, axes)
    expected, _ = pywt.coeffs_to_array(coefficients, axes=axes)
    # sums of some hundred products of numbers of size one
    torch.testing.assert_close(W(x), torch.from_numpy(expected), rtol=0, atol=1e-13)


@pytest.mark.parametrize("wavelet", [w for w in pywt.wavelist(kind="discrete") if w != "dmey"])
def test_every_orthogonal_wavelet_is_an_isometry_and_every_other_one_has_an_inverse(wavelet):
    x = normal(16, 24)
    W = Wavelet((16, 24), wavelet, levels=2)
    assert W.orthonormal == (pywt.Wavelet(wavelet).orthogonal or wavelet in ("bior1.1", "rbio1.1"))
    # PyWavelets' own filters have eleven digits
    recovered = W.H(W(x)) if W.orthonormal else W.pinv(W(x))
    torch.testing.assert_close(recovered, x, rtol=0, atol=1e-9)
    assert isinstance(W.gram, Identity) == W.orthonormal


def test_meyer_wavelets_of_finite_length_are_not_taken_for_orthonormal():
    assert pywt.Wavelet("dmey").orthogonal
    W = Wavelet((16, 16), "dmey", levels=1)
    x = normal(16, 16)
    assert not W.orthonormal
    assert float((W.H(W(x)) - x).abs().max()) > 1e-5


@pytest.mark.parametrize("shape", [(7, 10), (9, 9), (3, 6)])
def test_padding_keeps_an_orthogonal_transform_an_isometry(shape):
    W = Wavelet(shape, "db2", levels=2)
    assert W.range.shape == tuple(-(-n // 4) * 4 for n in shape)
    x = normal(*shape)
    torch.testing.assert_close(W.H(W(x)), x, rtol=0, atol=1e-12)
    padded = torch.zeros(W.range.shape, dtype=x.dtype)
    padded[: shape[0], : shape[1]] = x
    torch.testing.assert_close(W(x), Wavelet(W.range.shape, "db2", levels=2)(padded), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("wavelet", "degree"), [("haar", 0), ("db2", 1), ("db4", 3), ("bior4.4", 3)])
def test_details_of_a_polynomial_vanish_away_from_the_edge(wavelet, degree):
    # as many vanishing moments as Daubechies counts; the edge sees a jump, by periodization
    t = torch.linspace(-1, 1, 128, dtype=torch.float64)
    W = Wavelet((128,), wavelet, levels=1, axes=(-1,))
    inner = slice(64 + 6, 128 - 6)
    assert float(W(t**degree)[inner].abs().max()) < 1e-10
    assert float(W(t ** (degree + 1))[inner].abs().max()) > 1e-8


def test_the_approximation_of_a_constant_holds_all_of_it():
    W = Wavelet((16, 32), "db3", levels=3)
    y = W(torch.full((16, 32), 2.0, dtype=torch.float64))
    assert W.details.sum() == 16 * 32 - 2 * 4
    torch.testing.assert_close(y[~W.details], torch.full((8,), 2.0 * 2**3, dtype=torch.float64))
    assert float(y[W.details].abs().max()) < 1e-9


def test_details_follow_the_axes():
    assert Wavelet((3, 8, 8), "haar", levels=2).details[:, :2, :2].any() == torch.tensor(False)
    mask = Wavelet((8, 3, 8), "haar", levels=1, axes=(0, 2)).details
    assert int((~mask).sum()) == 4 * 3 * 4
    assert not mask[:4, :, :4].any()


@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((256, 256), 5),  # 2^5 times the filter's seven gaps just fits
        ((320, 320), 5),
        ((640, 368), 4),  # five would pad 368 = 16 * 23
        ((217, 181), 4),  # no number of levels avoids padding
        ((372, 640), 5),  # 372 = 4 * 93 would leave but two
        ((4, 4), 1),
    ],
)
def test_levels_by_default(shape, levels):
    assert Wavelet(shape, "db4").levels == levels


def test_levels_by_default_are_those_of_pywavelets_where_nothing_is_padded():
    for wavelet in ("haar", "db2", "sym8"):
        expected = pywt.dwt_max_level(512, pywt.Wavelet(wavelet).dec_len)
        assert Wavelet((512, 512), wavelet).levels == expected


def test_each_level_doubles_the_scale():
    # of an impulse's details, half as many in each direction see it on the next level
    W = Wavelet((64,), "haar", levels=6, axes=(-1,))
    x = torch.zeros(64, dtype=torch.float64)
    x[17] = 1
    sizes = [float(W(x)[64 >> k : 128 >> k].abs().max()) for k in range(1, 7)]
    assert sizes == pytest.approx([math.sqrt(0.5) ** k for k in range(1, 7)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wavelet": "morl"}, "discrete wavelet"),
        ({"wavelet": "db99"}, "'db99'"),
        ({"axes": (-1, 1)}, "different axes"),
        ({"axes": (-3,)}, "different axes"),
        ({"axes": ()}, "different axes"),
        ({"levels": 0}, "from 1 to 3"),
        ({"levels": 4}, "from 1 to 3"),
        ({"levels": 1.5}, "from 1 to 3"),
    ],
)
def test_what_makes_no_transform_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Wavelet((8, 9), **arguments)

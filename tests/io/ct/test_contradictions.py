"""What a file states is checked against its samples: a contradiction is said; healthy scans have none."""

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, InvgenWarning
from invgen.io import open_scan
from invgen.simulate import simulate_ct

VIEWS = np.arange(60) * np.pi / 60


@pytest.fixture
def sentences(recwarn):
    """What is contradicted in a file; it is also in the report and in `info`, and warned of once."""

    def read(path, **stated):
        with open_scan(path, **stated) as scan:
            out = scan.line_integrals(0, center=(scan.columns - 1) / 2)
            scan.line_integrals(0, center=(scan.columns - 1) / 2)
            info = scan.info()["warnings"]
        found = scan.contradictions
        warned = [str(w.message) for w in recwarn.list if issubclass(w.category, InvgenWarning)]
        assert set(found) <= set(out.report) & set(info)
        assert all(warned.count(sentence) == 1 for sentence in found)
        recwarn.clear()
        return found

    return read


@pytest.fixture
def array(tmp_path, sinogram):
    """Write projections of the object as a NPY file, after a function of the line integrals."""

    def write(change, columns=64):
        np.save(tmp_path / "scan.npy", change(sinogram(VIEWS, columns, (columns - 1) / 2)))
        return {"path": tmp_path / "scan.npy", "axes": "angle,column", "angles": VIEWS}

    return write


def test_frames_of_a_negative_image_key_control_are_left_out(nxtomo):
    """Three of the 40 projections are alignment frames, as the ESRF marks them."""
    with h5py.File(nxtomo()) as file:
        control = file["entry/instrument/detector/image_key"][()].astype(int)
    control[np.flatnonzero(control == 0)[-3:]] = -1
    with open_scan(nxtomo(**{"entry/instrument/detector/image_key_control": control})) as scan:
        assert scan.views == 37
        assert any("3 of 49 frames are marked as alignment frames" in note for note in scan.notes)


def test_a_negative_image_key_is_one_of_alignment_too(nxtomo):
    path = nxtomo()
    with h5py.File(path, "a") as file:
        key = file["entry/instrument/detector/image_key"][()].astype(int)
        key[np.flatnonzero(key == 0)[:2]] = -1
        del file["entry/instrument/detector/image_key"]
        file["entry/instrument/detector/image_key"] = key
    with open_scan(path) as scan:
        assert scan.views == 38


def test_a_control_key_of_another_length_is_refused(nxtomo):
    path = nxtomo(**{"entry/instrument/detector/image_key_control": np.zeros(5, int)})
    with pytest.raises(DataError, match="5 entries for the 49"):
        open_scan(path)


@pytest.mark.parametrize("turn", [180, 360])
@pytest.mark.parametrize("endpoint", [True, False])
def test_radians_that_a_format_takes_as_degrees_are_questioned(data_exchange, sentences, turn, endpoint):
    path = data_exchange(theta=np.deg2rad(np.linspace(0, turn, 40, endpoint=endpoint)))
    (sentence,) = sentences(path)
    assert f"as {turn} degrees do in radians" in sentence
    assert "--angle-unit rad" in sentence
    assert sentences(path, angle_unit="rad") == ()  # stated, and no longer questioned


def test_degrees_that_are_stated_as_radians_are_questioned(nxtomo, sentences):
    path = nxtomo(units="rad")
    with h5py.File(path, "a") as file:
        file["entry/sample/rotation_angle"][...] = np.rad2deg(file["entry/sample/rotation_angle"][()])
    (sentence,) = sentences(path)
    assert "--angle-unit deg" in sentence


def test_angles_that_are_all_equal_are_refused(data_exchange):
    path = data_exchange(theta=np.full(40, 30.0))
    with open_scan(path) as scan:
        assert any("all 40 angles are 30 degrees" in text for text in scan.info()["warnings"])
        with pytest.raises(DataError, match="all 40 angles are 30 degrees"):
            scan.line_integrals(0, center=30)


def camera(raw, limit, shift=0):
    """Counts of a beam that exceeds the limit of a camera in a few of its pixels."""
    scan, rng = raw(columns=200), np.random.default_rng(1)
    beam = limit * np.linspace(0.5, 0.8, 200)
    beam[:4] = limit * 1.05

    def frames(mean):
        return (np.clip(rng.poisson(mean), 0, limit) << shift).astype(np.uint16)

    truth = scan["truth"]
    return {
        "data": frames(beam * np.exp(-truth / 4)),
        "data_white": frames(np.broadcast_to(beam, (5, 3, 200))),
        "data_dark": np.zeros((4, 3, 200), np.uint16),
    }


@pytest.mark.parametrize(("limit", "shift"), [(1023, 0), (4095, 0), (16383, 0), (4095, 4), (3000, 0)])
def test_a_camera_that_clips_below_16_bits_is_seen(data_exchange, raw, sentences, limit, shift):
    """Pixels of too bright a beam are dead, and the others as they were."""
    path = data_exchange(**camera(raw, limit, shift))
    (sentence,) = sentences(path)
    assert f"are {limit << shift}, the largest value" in sentence
    with open_scan(path) as scan:
        out = scan.preprocess(1)
    assert out.dead[:, :4].all()
    assert not out.dead[:, 4:].any()
    assert torch.isinf(out.std[:, :4]).all()


def test_a_stuck_pixel_is_not_the_camera_s_limit(data_exchange, raw, sentences):
    """Brighter than all others, and the same in all frames."""
    scan = raw()
    for name in ("data", "flats"):
        scan[name][..., 20] = 41000
    assert sentences(data_exchange(data=scan["data"], data_white=scan["flats"])) == ()


def test_a_limit_that_the_counts_exceed_is_not_followed(data_exchange, sentences):
    path = data_exchange()
    with h5py.File(path, "a") as file:
        file["measurement/instrument/detector/bit_depth"] = 12
    (sentence,) = sentences(path)
    assert "clips at 4095" in sentence


def test_flats_of_another_exposure_are_questioned(data_exchange, raw, sentences):
    scan = raw()
    (sentence,) = sentences(data_exchange(data_white=(scan["flats"] // 3).astype(np.uint16)))
    assert "the open beam is 1" in sentence


@pytest.mark.parametrize(
    ("change", "quantity", "word"),
    [
        (lambda p: -p, None, "Change their sign"),
        (lambda p: np.exp(-p / p.max()), None, "look like transmission"),
        (lambda p: 20000 * np.exp(-p / p.max()), None, "look like counts"),
        (lambda p: 20000 * np.exp(-p / p.max()), "transmission", "the open beam is 1"),
        (lambda p: np.exp(0.6 * p / p.max()), "transmission", "I0 / I instead of I / I0"),
    ],
)
def test_projections_of_another_quantity_are_questioned(array, sentences, change, quantity, word):
    (sentence,) = sentences(**array(change), quantity=quantity)
    assert word in sentence


def test_right_quantities_are_not_questioned(array, sentences):
    assert sentences(**array(lambda p: p)) == ()
    assert sentences(**array(lambda p: 50 * p)) == ()
    assert sentences(**array(lambda p: np.exp(-p / p.max())), quantity="transmission") == ()


def healthy(path, seed):
    """Simulate a scan of any kind that is as its file states."""
    rng = np.random.default_rng(seed)
    geometry = ("parallel", "parallel", "fan", "cone")[seed % 4]
    columns = int(rng.choice([32, 48]))
    simulate_ct(
        path,
        str(rng.choice(["foam", "shepp-logan"])),
        geometry=geometry,
        size=columns,
        views=int(rng.integers(20, 60)),
        absorption=float(rng.uniform(0.2, 6)),
        photons=float(10 ** rng.uniform(1.5, 6)),
        center_offset=float(rng.uniform(-3, 3)),
        stripes=float(rng.choice([0, 0.02])),
        flats=int(rng.integers(2, 12)),
        darks=int(rng.integers(1, 12)),
        seed=seed,
        **({} if geometry == "cone" else {"slices": 1}),
    )
    if seed % 3 == 0:  # a detail inside of the object, wider than the detector
        with h5py.File(path, "a") as file:
            for name in ("data", "data_white", "data_dark"):
                cut = file[f"exchange/{name}"][..., columns // 4 : 3 * columns // 4]
                del file[f"exchange/{name}"]
                file[f"exchange/{name}"] = cut
    return {}


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 200), marks=pytest.mark.slow)])
def test_healthy_scans_of_all_kinds_contradict_nothing(tmp_path, seeds):
    for seed in seeds:
        path = tmp_path / f"{seed}.h5"
        healthy(path, seed)
        with open_scan(path) as scan:
            assert scan.contradictions == (), seed
            projections = scan.preprocess(scan.slices // 2)  # without views that are damaged
        lines, angles = projections.data.numpy(), np.asarray(projections.angles)
        np.save(tmp_path / "lines.npy", lines)
        np.save(tmp_path / "transmission.npy", np.exp(-lines))
        for name, quantity in (("lines", None), ("transmission", "transmission")):
            stated = {"axes": "angle,column", "angles": angles, "quantity": quantity}
            with open_scan(tmp_path / f"{name}.npy", **stated) as scan:
                assert scan.contradictions == (), (seed, name)
        path.unlink()

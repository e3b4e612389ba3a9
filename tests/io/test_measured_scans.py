"""Measured scans: what their authors say of them is found."""

import numpy as np
import pytest

from invgen.core.errors import FileError
from invgen.io import open_scan

BASALT = {"dataset": "sino_basalt", "axes": "column,angle", "angles_dataset": "angles", "angle_unit": "rad"}


@pytest.mark.parametrize("views", [None, slice(None, None, 3)])
def test_tooth_has_its_axis_at_column_296(measured_file, views):
    with open_scan(measured_file("ct/tooth.h5")) as scan:
        assert (scan.views, scan.slices, scan.columns) == (181, 1, 640)
        assert np.rad2deg(scan.angles[-1]) == pytest.approx(179, abs=0.01)
        assert scan.find_center() == pytest.approx(296, abs=0.5)
        out = scan.line_integrals(0, views=views)
        assert scan.info()["warnings"] == []
    air, std = out.data[:, 5:80].numpy(), float(out.std[:, 5:80].mean())
    noise = np.diff(air, axis=0).std() / np.sqrt(2)  # from view to view, which leaves out the stripes
    assert noise == pytest.approx(std, rel=0.15)  # what the counts of the flat fields predict


def test_basalt_is_read_by_name_with_its_axis_near_column_313(measured_file):
    with open_scan(measured_file("ct/sino_basalt.mat"), **BASALT) as scan:
        assert (scan.views, scan.columns, scan.quantity) == (530, 627, "absorption")
        assert scan.find_center() == pytest.approx(313, abs=1.1)
        problem = scan.problem(0)
    assert problem.operator.range.shape == (530, 627)


def test_struct_of_a_mat_file_is_read_by_its_field(measured_file):
    path = measured_file("ct/htc2022_ta_full.mat")
    with pytest.raises(FileError, match="CtDataFull/"):
        open_scan(path, dataset="CtDataFull", axes="angle,column")
    with open_scan(path, dataset="CtDataFull/sinogram", axes="angle,column") as scan:
        assert (scan.views, scan.columns) == (721, 560)

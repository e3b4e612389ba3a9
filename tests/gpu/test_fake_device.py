"""The fake device sees what a GPU would object to, and what the host would wait for."""

import pytest
import torch

from invgen.core.late import Reports

from .fake_device import CUDA, FakeDevice, to_cpu, to_device


def test_a_tensor_of_the_cpu_is_refused():
    with FakeDevice(), pytest.raises(RuntimeError, match=r"of the CPU, of the shape \(3,\)"):
        to_device(torch.ones(3)) * torch.ones(3)


def test_another_device_than_the_input_s_is_refused():
    with FakeDevice(), pytest.raises(RuntimeError, match="no device cuda:"):
        torch.zeros(3, device="cuda")


@pytest.mark.parametrize(
    "reads",
    [
        lambda x: bool(x.any()),
        lambda x: float(x[0]),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x),
    ],
)
def test_reading_a_value_is_counted(reads):
    with FakeDevice() as device:
        reads(to_device(torch.ones(3)))
    assert device.reads.total() == 1


def test_a_constant_is_moved_once():
    from invgen.core.frozen import Constant

    constant = Constant(torch.ones(3))
    with FakeDevice() as device:
        x = to_device(torch.ones(3))
        assert constant.like(x).device == CUDA
        constant.like(x)
    assert device.uploads == {("invgen/core/frozen.py", "Constant.like"): 1}


def test_derivatives_are_those_of_the_cpu():
    with FakeDevice():
        x = to_device(torch.arange(3.0)).requires_grad_()
        (gradient,) = torch.autograd.grad((x**3).sum(), x)
        slope = torch.func.vjp(lambda z: z**3 * torch.ones(3, device=z.device), x.detach())[1](x.detach())[0]
    assert torch.equal(to_cpu(gradient), 3 * torch.arange(3.0) ** 2)
    assert torch.equal(to_cpu(slope), 3 * torch.arange(3.0) ** 3)


def test_generators_of_the_device_follow_their_seed():
    with FakeDevice():
        first, again = (
            torch.randn(4, generator=torch.Generator(CUDA).manual_seed(5), device=CUDA) for _ in range(2)
        )
        assert first.device == CUDA
    assert torch.equal(to_cpu(first), to_cpu(again))


def test_reports_come_one_late_with_the_values_they_had():
    with FakeDevice() as device:
        x, reports = to_device(torch.zeros(())), Reports(CUDA)
        seen = []
        for _ in range(3):
            x += 1
            seen.append([(tag, float(value)) for tag, value in reports.after(x, len(seen))])
        rest = [(tag, float(value)) for tag, value in reports.rest()]
    assert seen == [[], [(0, 1.0)], [(1, 2.0)]]
    assert rest == [(2, 3.0)]
    assert not device.reads


def test_reports_of_a_cpu_are_not_late():
    reports = Reports(torch.device("cpu"))
    assert [float(value) for _, value in reports.after(torch.ones(()))] == [1.0]
    assert reports.rest() == []

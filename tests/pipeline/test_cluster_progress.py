"""What workers of a cluster have done is kept: by whom it is written, and who goes on from there."""

from __future__ import annotations

import pytest

import invgen as ig
from invgen.core.errors import ClusterError
from invgen.pipeline import chunks, cluster, progress
from invgen.pipeline.chunks import Run
from invgen.pipeline.ct import SliceBySlice
from invgen.pipeline.jobs import Job
from invgen.pipeline.place import Place, folder_of

from .cluster_cases import threads

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")


@pytest.fixture
def small_progress(monkeypatch):
    """Results of the command are written one by one, by runs that began at the same time."""
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")


@pytest.mark.usefixtures("small_progress")
def test_workers_write_what_they_compute_beside_the_output(reconstructed, client, tmp_path, monkeypatch):
    """And where they do not see the folder they send it, to the same file."""
    output, found, sent = tmp_path / "image.h5", [], []
    taken = cluster._taken
    monkeypatch.setattr(cluster, "_taken", lambda *job: sent.append(taken(*job)) or sent[-1])
    reconstructed("parallel", output)
    found.append(output.read_bytes())
    for seen in (True, False):
        if not seen:
            monkeypatch.setattr(Place, "is_seen", lambda self: False)
        sent.clear()
        reconstructed("parallel", output, executor=client)
        found.append(output.read_bytes())
        assert [type(each).__name__ for each in sent] == ["Kept" if seen else "Solved"] * 4
        assert [path.name for path in tmp_path.iterdir()] == ["image.h5"]
    assert len(set(found)) == 1


@pytest.mark.usefixtures("small_progress")
def test_a_run_whose_scheduler_goes_away_goes_on_here_or_there(reconstructed, client, tmp_path, monkeypatch):
    output, computed, plain = tmp_path / "image.h5", [], SliceBySlice.compute
    reconstructed("parallel", output)
    undisturbed = output.read_bytes()
    output.unlink()
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), threads() as lost:

        def close(done, total):
            if done >= 2:
                lost.cluster.scheduler.loop.add_callback(lost.cluster.scheduler.close)

        with pytest.raises(ClusterError, match="scheduler of dask"):
            reconstructed("parallel", output, executor=lost, advance=close)
    kept = len(list(folder_of(output).glob("[!.]*.npz")))
    assert kept >= 2
    monkeypatch.setattr(
        SliceBySlice, "compute", lambda self, read, part: computed.append(read) or plain(self, read, part)
    )
    reconstructed("parallel", output, executor=client, resume=True)
    assert len(computed) == 4 - kept
    assert output.read_bytes() == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["image.h5"]


@pytest.mark.usefixtures("small_progress")
def test_what_a_lost_worker_has_written_is_not_computed_again(scans, tmp_path, monkeypatch):
    place = Place(tmp_path, "run", 60.0)
    (tmp_path / "run.json").write_text('{"run": "run"}')
    scan = ig.pipeline.Reading().open(scans["parallel"])
    recipe = ig.pipeline.Recipe(solver="fbp", center=13.0, device="cpu", size=24, fov="image")
    job = Job(scans["parallel"], ig.pipeline.Reading(), recipe, range(1, 2))
    scan.close()
    run = Run.new([scans["parallel"]], None)
    first = chunks.solve(job, run, place)
    monkeypatch.setattr(SliceBySlice, "compute", lambda self, read, part: pytest.fail("it is computed again"))
    assert chunks.solve(job, run, place) == first
    chunks.end(run)

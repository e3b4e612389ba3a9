"""A scan whose slices are reconstructed by the workers of a cluster: processes here, or jobs of SLURM.

python examples/many_machines.py [--slices 8] [--size 128] [--workers 2] [--slurm] [--output FILE]
"""

import argparse

import h5py
import torch
from distributed import Client, LocalCluster

import invgen as ig
from invgen.simulate import simulate_ct


def cluster(arguments):
    """Workers of this machine, or one in each of so many jobs of SLURM, with a GPU and a core for itself."""
    if not arguments.slurm:
        return LocalCluster(n_workers=arguments.workers, threads_per_worker=1, dashboard_address=":0")
    from dask_jobqueue import SLURMCluster  # pip install dask-jobqueue

    jobs = SLURMCluster(cores=1, memory="16GB", walltime="01:00:00", job_extra_directives=["--gres=gpu:1"])
    jobs.scale(arguments.workers)
    return jobs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=8, help="number of slices")
    parser.add_argument("--size", type=int, default=128, help="pixels across a slice")
    parser.add_argument("--workers", type=int, default=2, help="number of workers")
    parser.add_argument("--slurm", action="store_true", help="start them as jobs of SLURM")
    parser.add_argument("--output", default="many_machines.png", help="picture to write")
    arguments = parser.parse_args()

    # in a folder that all workers see under the same name
    simulate_ct("scan.h5", "shepp-logan", size=arguments.size, views=60, slices=arguments.slices)
    with cluster(arguments) as workers, Client(workers) as client:
        client.wait_for_workers(1)  # those that start later join in
        found = ig.reconstruct("scan.h5", "image.h5", solver="tv", size=arguments.size, executor=client)

    with h5py.File("scan.h5") as scan, h5py.File("image.h5") as file:
        truth, images = (torch.from_numpy(each[:]) for each in (scan["truth/image"], file["reconstruction"]))
    psnr = float(ig.metrics.psnr(images, truth).mean())
    print(f"{len(images)} slices in {found.seconds:.1f} s, {psnr:.1f} dB")
    pair = [images[len(images) // 2], truth[len(images) // 2]]
    ig.figures.save(ig.figures.montage(pair, ["TV", "truth"]), arguments.output)


if __name__ == "__main__":  # worker processes import this file, too
    main()

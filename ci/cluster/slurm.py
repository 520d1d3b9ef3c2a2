"""Runs `kexue` on Slurm: a Dask scheduler in this process, one worker a Slurm job (by dask-jobqueue), the command on them.

    python ci/cluster/slurm.py --jobs 8 --interface ib0 --walltime 12:00:00 --memory 32GiB \\
        --gpu-memory 80 --option=--partition=gpu -- run --profile full --seeds 5

Everything after `--` is the `kexue` command. Needs dask-jobqueue, `sbatch`, and this environment at the same path on the
nodes. Other users of the cluster can reach the scheduler's port, and who reaches it runs code in your name: so certificates
are demanded (see ci/cluster/certificates.sh) unless --plaintext says that you know better.
"""

import argparse
import subprocess
import sys
from typing import Any

import dask
from dask_jobqueue.slurm import SLURMCluster
from distributed import Client, Security


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, required=True, help="Slurm jobs, each with one worker")
    parser.add_argument("--interface", required=True, help="network interface the nodes reach each other by")
    parser.add_argument(
        "--walltime", default="04:00:00", help="of a job; a run that it cuts off is made again"
    )
    parser.add_argument(
        "--memory", default="16GiB", help="of a job; a run that takes more is ended and named"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores of a job, and threads of a run")
    parser.add_argument("--gpu-memory", type=float, help="a GPU a job, of so many GiB")
    parser.add_argument("--option", action="append", default=[], help="any other option of sbatch")
    parser.add_argument("--plaintext", action="store_true", help="no TLS")
    parser.add_argument("command", nargs="+", metavar="KEXUE", help="after --: the kexue command")
    return parser.parse_args()


def cluster_of(said: argparse.Namespace) -> SLURMCluster:
    """The cluster, without a job yet. Slurm shows a job only its own GPU (CUDA_VISIBLE_DEVICES), and a worker passes that on."""
    secured = dask.config.get("distributed.comm.tls.ca-file") is not None
    if not secured and not said.plaintext:
        raise SystemExit(
            "slurm.py: no certificates in Dask's configuration; ci/cluster/certificates.sh makes them (or --plaintext)"
        )
    options: dict[str, Any] = {
        "job_extra_directives": said.option,
        "worker_extra_args": ["--dashboard-address", "127.0.0.1:0"],
    }
    if said.gpu_memory:
        options["job_extra_directives"] = ["--gres=gpu:1", *said.option]
        options["worker_extra_args"] += ["--resources", f"'GPU=1 GPU_MEMORY={said.gpu_memory:g}'"]
    return SLURMCluster(
        cores=1,  # Dask's threads: one run at a time
        processes=1,
        job_cpu=said.threads,
        memory=said.memory,
        walltime=said.walltime,
        interface=said.interface,
        security=None if said.plaintext else Security(),
        job_script_prologue=[f"export OMP_NUM_THREADS={said.threads}"],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
        **options,
    )


def main() -> int:
    """Ask for the jobs, wait for the first, run the command; the jobs end with it."""
    said = arguments()
    with cluster_of(said) as cluster:
        cluster.scale(jobs=said.jobs)
        address = cluster.scheduler_address
        print(f"scheduler {address}: waiting for the first of {said.jobs} jobs", flush=True)
        with Client(cluster) as client:
            client.wait_for_workers(1)
        return subprocess.call([sys.executable, "-m", "kexue.cli", *said.command, "--cluster", address])


if __name__ == "__main__":
    sys.exit(main())

"""Ray beside the engine of one machine, on the same cores; one core and two.

    python benchmarks/cluster.py PHOTOS --models cnn:224 --photos 4000 --rounds 3

Each machine of the cluster is this one, held to a core of its own. The ways take turns, round by
round; medians are told. `steady` is the pace of the later two thirds of the photos: the difference
of a run on all and one on a third. `start` is the rest of the run on a third.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

from untrained import make_model

from fftag.models.folder import load_bundle
from fftag.photos.decode import InputSpec
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.summary import TagSummary
from fftag.tagging.tag import tag

STORE = 100 * 2**20  # bytes of shared memory for objects on each machine
MEMORY = 4 * 2**30  # bytes that each machine says it has
WAYS = (("local", 1), ("ray", 1), ("local", 2), ("ray", 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos_folder", metavar="PHOTOS", type=Path)
    parser.add_argument("--models", nargs="+", default=["cnn:224"], help="architecture:side")
    parser.add_argument("--photos", type=int, nargs="+", default=[4000], help="of each model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard-size", type=int, default=256)
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    print("| model | engine | cores | start, s | steady, photos/s | of local | of one core |")
    print("|---|---|---|---|---|---|---|")
    for named, photos in zip(given.models, given.photos, strict=True):
        with tempfile.TemporaryDirectory(prefix="fftag-cluster-") as name:
            folder = Path(name)
            architecture, side = named.split(":")
            spec = InputSpec(int(side), int(side))
            model = make_model(folder / "model", architecture, spec)
            for count in (photos // 3, photos):
                fill(folder / str(count), given.photos_folder, count)
            found: dict[tuple[str, int], list[tuple[float, float]]] = {way: [] for way in WAYS}
            for _ in range(given.rounds):
                for way in WAYS:
                    with spawn.Pool(1) as pool:  # a process of its own: its cores are set for good
                        task = (*way, folder, model, photos, given.shard_size)
                        found[way].append(pool.apply(measure, task))
        starts = {way: statistics.median(start for start, _ in found[way]) for way in WAYS}
        rates = {way: statistics.median(rate for _, rate in found[way]) for way in WAYS}
        for engine, count in WAYS:
            rate = rates[engine, count]
            print(
                f"| {named}, {photos:,} photos | {engine} | {count} | {starts[engine, count]:.1f} "
                f"| {rate:.1f} | {rate / rates['local', count]:.2f} "
                f"| {rate / rates[engine, 1]:.2f} |",
                flush=True,
            )


def fill(folder: Path, photos: Path, count: int) -> None:
    """So many photos, no two the same: bytes behind a picture's end mean nothing to a decoder."""
    folder.mkdir()
    listed = list_source(Folder(photos)).files["image"].to_pylist()
    chosen = [name for name in listed if name.lower().endswith((".jpg", ".jpeg"))]
    for number, name in enumerate(islice(cycle(chosen), count)):
        content = (photos / name).read_bytes() + str(number).encode()
        (folder / f"{number:06d}.jpg").write_bytes(content)


def measure(
    engine: str, count: int, folder: Path, model: Path, photos: int, shard_size: int
) -> tuple[float, float]:
    """Seconds of the start, and photos per second after it."""
    own = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, own)
    options = TagOptions(workers=count, shard_size=shard_size, force=True)
    bundle = load_bundle(model)

    def seconds(run: Callable[..., TagSummary], number: int) -> float:
        began = time.perf_counter()
        run(Folder(folder / str(number)), folder / "t.parquet", bundle, options)
        return time.perf_counter() - began

    def start_and_rate(run: Callable[..., TagSummary]) -> tuple[float, float]:
        third, all_ = seconds(run, photos // 3), seconds(run, photos)
        rate = (photos - photos // 3) / (all_ - third)
        return third - photos // 3 / rate, rate

    if engine == "local":
        return start_and_rate(tag)
    import ray
    from ray.cluster_utils import Cluster

    from fftag.tagging.ray import on_ray

    # Ray would kill for memory that others hold on this machine, and give way to all of them.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    cluster = None
    size = {"num_cpus": 1, "object_store_memory": STORE, "memory": MEMORY}
    try:
        for core in own:
            os.sched_setaffinity(0, {core})  # what is started now stays there
            if cluster is None:
                head = {**size, "include_dashboard": False}
                cluster = Cluster(initialize_head=True, head_node_args=head)
            else:
                cluster.add_node(**size)
        os.sched_setaffinity(0, own)
        with on_ray(cluster.address) as machines:
            return start_and_rate(machines.tag)
    finally:
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()


if __name__ == "__main__":
    main()

"""What a data set of Ray gives; begun again where a lost machine would make Ray wait for ever.

What Ray sends to a machine before it knows that it is lost may never be answered, and keeps its
task waiting for good (seen with 2.60; it looks like ray-project/ray#63405). A predictor waits
likewise for a machine such as it had, where none is left. From outside, only its length tells such
a wait from work.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from fftag.base.errors import FftagError
from fftag.base.interrupt import Interruption
from fftag.base.progress import say

# How long no row may come once a machine is lost: this, and so many times the longest wait so far.
# The first wait has the start of the predictors in it, and a part from its first step to its last.
SECONDS_OF_PATIENCE = 30.0
LONGEST_WAITS = 3
SECONDS_BETWEEN_LOOKS = 1.0
RESTARTS = 3  # without a row between them; patience doubles with each
KEPT = "finished parts are kept, and the same command goes on"


def watched(
    missing: Callable[[], Sequence[Any]],
    begin: Callable[[Sequence[Any]], Any],
    interruption: Interruption,
) -> Generator[dict[str, Any]]:
    """Rows of a data set, one for each part.

    Args:
        missing: the parts without a row; asked before each start.
        begin: gives the data set of parts, for the machines that there are by then.
        interruption: once it is asked for, nothing is begun again.

    Raises:
        FftagError: a machine was lost, and parts that were started again did not come either.
    """
    longest, restarts = 0.0, 0
    lost: dict[str, str] = {}
    while parts := missing():
        if restarts > RESTARTS:
            raise FftagError(f"lost {_names(lost)}, and no part comes since: {KEPT}")
        if restarts:
            say(f"lost {_names(lost)}, and no part comes: {len(parts):,} are started again")
        before, since = _machines(), time.monotonic()
        with closing(_looks(begin(parts))) as looks:
            for row in looks:
                waited = time.monotonic() - since
                if row is not None:
                    longest, restarts = max(longest, waited), 0
                    yield row
                    since = time.monotonic()
                elif waited > (SECONDS_OF_PATIENCE + LONGEST_WAITS * longest) * 2**restarts:
                    gone = before.keys() - _machines().keys()
                    lost |= {machine: before[machine] for machine in gone}
                    if gone or restarts:
                        break
            else:
                return
        if interruption.asked:
            return
        restarts += 1


def _looks(dataset: Any) -> Generator[dict[str, Any] | None]:
    """The rows of a data set, and None whenever none came for a while.

    A process of its own iterates over them: where Ray waits for ever, that can be killed, and with
    it goes all that it started.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    stream: Any = (
        ray.remote(_rows)
        .options(num_cpus=0, max_retries=0, num_returns="streaming", scheduling_strategy=here)
        .remote(dataset)
    )
    try:
        while True:
            ready, _ = ray.wait([stream], timeout=SECONDS_BETWEEN_LOOKS)
            if not ready:
                yield None
                continue
            try:
                row = next(stream)
            except StopIteration:
                return
            yield ray.get(row)
    finally:
        ray.cancel(stream, force=True)


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from dataset.iter_rows()
    except Exception as error:
        raise (raised_by_us(error) or error) from None  # the way back takes no chain of errors


def raised_by_us(error: BaseException) -> FftagError | None:
    """What of fftag is behind an error: Ray wraps what its processes raise in several ways."""
    chain: BaseException | None = error
    while chain is not None:
        for found in (chain, getattr(chain, "cause", None)):
            if isinstance(found, FftagError):
                return found
        chain = chain.__cause__ or chain.__context__
    return None


def _machines() -> dict[str, str]:
    """Those that are there: their ids and names."""
    import ray

    return {
        machine["NodeID"]: f"{machine['NodeManagerHostname']} ({machine['NodeManagerAddress']})"
        for machine in ray.nodes()
        if machine["Alive"]
    }


def _names(machines: dict[str, str]) -> str:
    return " and ".join(sorted(machines.values()))

"""Estimate the cost of ten million images, and simulate workers, the driver and processes that end.

    python benchmarks/scaling.py [--images 10000000] [--workers 1 8 64 512] [--rate 6000] [--price 2.5] ...

Costs around the network come from `results/scaling.json`; the GPU's rate, its price and how often a process ends are
assumed and are options. `python benchmarks/tables.py` writes both tables to docs/scaling-results.md with the
defaults.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass, fields, replace

import meta

# forward passes per image at the default layer: 679 of 1,280 channels are not constant, the median of 100 images
PASSES = {"grad-cam": 1, "fusion-cam(budget=64)": 1 + 64 + 4, "fusion-cam": 1 + 679 + 4}


@dataclass(frozen=True)
class Assumed:
    """Assumptions, in seconds; ``rate`` is the passes per second of one GPU, ``stored`` the bytes per heatmap."""

    images: int = 10_000_000
    rate: float = 6000.0
    price: float = 2.5
    around: float = 0.02
    cores: int = 16
    call: float = 0.001
    batch: int = 8
    stored: float = 300.0
    lifetime: float = 24 * 3600.0
    start: float = 30.0


def measured(assumed):
    """Return the assumptions with measured values where there are any."""
    result = meta.read("scaling")
    found = {one["what"]: one["median"] for one in result["figures"]} if result else {}
    parts = [found.get(f"{name} an image, one core") for name in ("open", "prepare", "fit", "write")]
    call, stored = found.get("a call of a worker with nothing to do"), found.get("stored heatmap with its facts")
    known = {"around": sum(parts) / 1000 if all(parts) else None, "call": call and call / 1000, "stored": stored}
    return replace(assumed, **{name: value for name, value in known.items() if value})


# -- estimate ---------------------------------------------------------------------------------------------------


def need(assumed, passes):
    """Return GPU-hours, core-hours, gigabytes, dollars and the slowest part; each GPU has a worker per core."""
    network, around = passes / assumed.rate, assumed.around / assumed.cores
    hours = assumed.images * max(network, around) / 3600
    return {
        "gpu": hours,
        "cores": assumed.images * assumed.around / 3600,
        "gigabytes": assumed.images * assumed.stored / 1e9,
        "dollars": hours * assumed.price,
        "slowest": "the network" if network >= around else "opening images",
        "driver": assumed.batch / assumed.call * max(network, around),
    }


def paper_table(assumed):
    """Return the estimate as a Markdown table."""
    lines = [
        "| method | passes per image | GPU-hours | core-hours around | stored | money | slowest "
        "| GPUs that one driver serves |",
        "| --- | --: | --: | --: | --: | --: | --- | --: |",
    ]
    for name, passes in PASSES.items():
        needs = need(assumed, passes)
        lines.append(
            f"| `{name}` | {passes:,} | {needs['gpu']:,.1f} | {needs['cores']:,.0f} | {needs['gigabytes']:,.1f} GB "
            f"| ${needs['dollars']:,.0f} | {needs['slowest']} | {needs['driver']:,.0f} |"
        )
    return "\n".join(lines)


# -- simulation --------------------------------------------------------------------------------------------------


def simulated(assumed, workers, passes, calls, seed=0):
    """Return the share of the workers' time that is spent on images, over ``calls``, and the number of lost calls.

    Each worker has two calls in progress; the driver handles one answer at a time. A process ends after exponential
    times, its call is repeated, and another process replaces it. The costs of images vary uniformly by half.
    """
    chance = random.Random(seed)
    each = assumed.batch * (passes / assumed.rate + assumed.around)
    driver, done, lost, useful = 0.0, 0, 0, 0.0
    ready = [(0.0, number) for number in range(workers)]
    dies = [chance.expovariate(1 / assumed.lifetime) for _ in range(workers)]
    heapq.heapify(ready)
    while done < calls:
        at, worker = heapq.heappop(ready)
        takes = each * chance.uniform(0.5, 1.5)
        if at + takes > dies[worker]:
            lost += 1
            at = dies[worker] + assumed.start
            dies[worker] = at + chance.expovariate(1 / assumed.lifetime)
            heapq.heappush(ready, (at, worker))
            continue
        driver = max(driver, at + takes) + assumed.call
        done, useful = done + 1, useful + takes
        # with a second call in progress, a worker waits only if the driver is a whole call behind
        heapq.heappush(ready, (max(at + takes, driver - each), worker))
    return useful / (workers * max(driver, max(at for at, _ in ready))), lost


def simulation_table(assumed, workers):
    """Return a Markdown table: images per second and the share of the workers' time, by number of workers."""
    lines = ["| workers | " + " | ".join(f"`{name}`" for name in PASSES) + " |", "| --: |" + " --: |" * len(PASSES)]
    for number in workers:
        cells = []
        for passes in PASSES.values():
            share, _ = simulated(assumed, number, passes, max(2000, 100 * number))
            rate = number * share / (passes / assumed.rate + assumed.around)
            cells.append(f"{rate:,.0f} a second ({share:.0%})")
        lines.append(f"| {number:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS)
    for field in fields(Assumed):
        parser.add_argument(
            f"--{field.name}", type=type(field.default), help=f"default: {field.default:g}, or measured"
        )
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    workers = given.pop("workers")
    assumed = replace(measured(Assumed()), **given)
    print(assumed, paper_table(assumed), simulation_table(assumed, workers), sep="\n\n")


WORKERS = [1, 8, 64, 512, 4096]

if __name__ == "__main__":
    main()

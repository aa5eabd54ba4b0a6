"""Step time of the ZeRO stages over stage 0's, step by step in turns.

One job per stage is started and stopped at once; then one after the other goes on for one step (SIGCONT, until metrics.jsonl has
its line, SIGSTOP), so that what others do to the machine meets all stages alike. A stage's figure is the median over the rounds
of its step over stage 0's, with the quartiles beside it. The job is bench/peers/gpt2_124m.yaml: GPT-2-124M, S = 512, micro-batch 4,
one call a step.

Run from the root of the tree, with `make build` done, on an otherwise idle machine with memory for all the jobs:
    python3 bench/stages.py --ranks 2
"""

import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

MICRO_BATCH = 4


class Job:
    """A run of one stage that goes on when it is told to."""

    def __init__(self, args, stage):
        self.folder = tempfile.TemporaryDirectory()
        self.metrics = Path(self.folder.name, "metrics.jsonl")
        words = ["scripts/mpirun.sh", "-np", str(args.ranks), args.binary, "bench/peers/gpt2_124m.yaml"]
        words += [f"output_dir={self.folder.name}", f"train.global_batch_size={MICRO_BATCH * args.ranks}"]
        words += [f"train.dtype={args.dtype}", "train.threads=1", f"train.steps={args.rounds + 10}"]
        words += [f"parallel.zero={stage}", *args.override]
        self.mpirun = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.lines = 0
        self._step()

    def end(self):
        self._signal(signal.SIGKILL)  # which ends mpirun
        self.mpirun.wait()
        self.folder.cleanup()

    def step_seconds(self):
        start = time.monotonic()
        self._signal(signal.SIGCONT)
        self._step()
        return time.monotonic() - start

    def _step(self):
        while not self.metrics.exists() or len(self.metrics.read_bytes().splitlines()) == self.lines:
            if self.mpirun.poll() is not None:
                raise SystemExit(f"the job ended with {self.mpirun.returncode}")
            time.sleep(0.002)
        self._signal(signal.SIGSTOP)
        self.lines += 1

    def _signal(self, number):
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self.mpirun.pid:
                    os.kill(int(stat.parent.name), number)
            except OSError:
                continue  # it ended while we looked


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--stages", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--binary", default="build/release/bin/edgetrain")
    parser.add_argument("override", nargs="*", help="section.key=value")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("quartiles want two rounds at least")

    jobs, ratios = {}, {stage: [] for stage in args.stages}
    try:
        for stage in [0, *args.stages]:
            jobs[stage] = Job(args, stage)
        for job in jobs.values():  # the second step: the first one touches all memory
            job.step_seconds()
        for at in range(args.rounds):
            order = list(jobs) if at % 2 == 0 else list(reversed(jobs))
            seconds = {stage: jobs[stage].step_seconds() for stage in order}
            for stage, values in ratios.items():
                values.append(seconds[stage] / seconds[0])
            print(f"round {at + 1}: " + ", ".join(f"zero {stage} {1e3 * seconds[stage]:.0f} ms" for stage in jobs), flush=True)
    finally:
        for job in jobs.values():
            job.end()
    for stage, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"zero {stage} over zero 0: {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()

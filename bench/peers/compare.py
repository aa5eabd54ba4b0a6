"""edgetrain against PyTorch on this machine: alternating runs, medians, ratios, a markdown table.

For each layout (ranks x threads) and dtype: every PyTorch recipe runs once, the fastest is the peer; then edgetrain and
the peer take turns, A B A B, so that whatever else happens to the machine happens to both. A run is a fresh process
and counts with the median of its measured steps. Memory is read the same way from both: VmHWM of the largest rank.

Run from the root of the tree, on an otherwise idle machine:
    .venv/bin/python bench/peers/compare.py
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS_PER_RUN = 1800
# Two threads that meet at barriers lose far more than the share that others take.
FOREIGN_CPU_ALLOWED = 0.05

FP32 = [
    ["--dtype", "fp32"],
    ["--dtype", "fp32", "--malloc", "retain"],
    ["--dtype", "fp32", "--malloc", "retain", "--loss", "chunked"],
    ["--dtype", "fp32", "--malloc", "retain", "--compile"],
]
BF16 = [
    ["--dtype", dtype, *rest]
    for dtype in ("bf16-autocast", "bf16-master")
    for rest in ([], ["--malloc", "retain"], ["--malloc", "retain", "--compile"])
]
RECIPES = {"fp32": FP32, "bf16": BF16}
WANTED_RATIO = {"fp32": 1.3, "bf16": 1.5}
# Where PyTorch itself is above the first part of the roof, the second part of the roof is enough.
PEER_NEAR_ROOF, WANTED_OF_ROOF = 0.65, 0.85


@dataclass(frozen=True)
class Layout:
    ranks: int
    threads: int

    @classmethod
    def parse(cls, text: str) -> "Layout":
        ranks, threads = text.split("x")
        return cls(int(ranks), int(threads))


@dataclass
class Run:
    tokens_per_s: float
    peak_rss: list[int]  # bytes, the largest processes, one per rank
    last_loss: float
    foreign_cpu: float  # share of the machine's processor time that others took meanwhile


@dataclass
class Duel:
    layout: Layout
    dtype: str
    recipe: list[str]
    roof: float | None
    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)


class MemoryWatch(threading.Thread):
    """Reads VmHWM of a process and its descendants until stopped; VmHWM only grows, so reading seldom is enough."""

    def __init__(self, root: int):
        super().__init__(daemon=True)
        self.root, self.peaks, self.stopped = root, {}, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            for pid in self._family():
                self.peaks[pid] = max(self.peaks.get(pid, 0), self._peak(pid))

    def largest(self, count: int) -> list[int]:
        self.stopped.set()
        self.join()
        return sorted(self.peaks.values(), reverse=True)[:count]

    def _family(self) -> set[int]:
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name, in parentheses, may hold blanks; the parent is the second field behind it.
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended while we looked
        family, before = {self.root}, 0
        while len(family) > before:
            before = len(family)
            family |= {child for child, parent in parents.items() if parent in family}
        return family

    @staticmethod
    def _peak(pid: int) -> int:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        return next((int(l.split()[1]) * 1024 for l in status.splitlines() if l.startswith("VmHWM:")), 0)


class ProcessorWatch:
    """How much of all processors' time, since it was made, went to processes that are not our children."""

    def __init__(self):
        self.start, self.own, self.busy = time.monotonic(), self._own(), self._busy()

    def foreign_share(self) -> float:
        available = (time.monotonic() - self.start) * os.cpu_count()
        return max(0.0, (self._busy() - self.busy) - (self._own() - self.own)) / available

    @staticmethod
    def _own() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    @staticmethod
    def _busy() -> float:
        ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
        idle = ticks[3] + ticks[4]  # idle, iowait; the rest is user, nice, system, irq, softirq, steal
        return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


@dataclass
class Watched:
    out: str
    peak_rss: list[int]  # bytes
    wall_s: float
    foreign_cpu: float


def watched(command: list[str], ranks: int) -> Watched:
    """Runs a command to its end and reads what it took. One that fails ends the comparison."""
    start, processor = time.monotonic(), ProcessorWatch()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = MemoryWatch(process.pid)
    watch.start()
    try:
        out, err = process.communicate(timeout=SECONDS_PER_RUN)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{out[-2000:]}\n{err[-4000:]}")
    return Watched(out, watch.largest(ranks), time.monotonic() - start, processor.foreign_share())


def run_ours(args, layout: Layout, dtype: str) -> Run:
    steps = args.warmup + args.steps
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(args.binary), "run", str(args.job), f"output_dir={folder}", f"train.steps={steps}",
            f"train.dtype={dtype}", f"train.threads={layout.threads}",
            f"train.global_batch_size={args.micro_batch * layout.ranks}", *args.override,
        ]
        if layout.ranks > 1:
            command = ["mpirun", "-np", str(layout.ranks), *command]
        process = watched(command, layout.ranks)
        records = [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]
    return judged(records, steps, args, layout, process)


def judged(records: list[dict], steps: int, args, layout: Layout, process: Watched) -> Run:
    """Our own numbers, believed only if they fit each other: all steps there, and no more step time than wall time."""
    if [record["step"] for record in records] != list(range(1, steps + 1)):
        sys.exit(f"metrics.jsonl has steps {[record['step'] for record in records]}, expected 1 to {steps}")
    step_ms = [record["step_ms"] for record in records]
    if sum(step_ms) > 1e3 * process.wall_s:
        sys.exit(f"metrics.jsonl claims {sum(step_ms):.0f} ms of steps in {1e3 * process.wall_s:.0f} ms")
    tokens_per_s = 1e3 * layout.ranks * args.micro_batch * args.seq_len / statistics.median(step_ms[args.warmup :])
    claimed = statistics.median(record["tokens_per_s"] for record in records[args.warmup :])
    if abs(claimed / tokens_per_s - 1) > 0.05:
        sys.exit(f"metrics.jsonl: tokens_per_s {claimed:.1f}, but its step_ms say {tokens_per_s:.1f}")
    return Run(tokens_per_s, process.peak_rss, records[-1]["loss"], process.foreign_cpu)


def run_torch(args, layout: Layout, recipe: list[str], steps: int) -> Run | None:
    """None if this recipe does not work here; the reason is printed."""
    command = [
        sys.executable, str(HERE / "train_torch.py"), "--model", args.model, "--data", str(args.data),
        "--ranks", str(layout.ranks), "--threads", str(layout.threads), "--steps", str(steps),
        "--warmup", str(args.warmup), "--micro-batch", str(args.micro_batch), "--seq-len", str(args.seq_len), *recipe,
    ]
    process = watched(command, layout.ranks)
    result = json.loads(process.out.splitlines()[-1])
    if "skipped" in result:
        print(f"  skipped {' '.join(recipe)}: {result['skipped']}", flush=True)
        return None
    return Run(result["tokens_per_s"], process.peak_rss, result["losses"][-1], process.foreign_cpu)


def fastest_recipe(args, layout: Layout, dtype: str) -> list[str]:
    best, best_rate = None, 0.0
    for recipe in RECIPES[dtype]:
        if args.no_compile and "--compile" in recipe:
            continue
        run = run_torch(args, layout, recipe, args.survey_steps)
        if run is None:
            continue
        print(f"  {' '.join(recipe)}: {run.tokens_per_s:.1f} tokens/s", flush=True)
        if run.tokens_per_s > best_rate:
            best, best_rate = recipe, run.tokens_per_s
    return best


def roof_of(args, layout: Layout, dtype: str) -> float | None:
    if args.no_roof:
        return None
    command = [
        sys.executable, str(HERE / "roof.py"), "--model", args.model, "--dtype", dtype, "--ranks", str(layout.ranks),
        "--threads", str(layout.threads), "--micro-batch", str(args.micro_batch), "--seq-len", str(args.seq_len),
    ]
    return json.loads(watched(command, layout.ranks).out.splitlines()[-1])["tokens_per_s"]


def fight(args, layout: Layout, dtype: str) -> Duel:
    print(f"{layout.ranks} ranks x {layout.threads} threads, {dtype}", flush=True)
    duel = Duel(layout, dtype, fastest_recipe(args, layout, dtype), roof_of(args, layout, dtype))
    for turn in range(args.rounds):
        duel.ours.append(run_ours(args, layout, dtype))
        duel.theirs.append(run_torch(args, layout, duel.recipe, args.steps))
        ours, theirs = duel.ours[-1], duel.theirs[-1]
        rates = f"edgetrain {ours.tokens_per_s:.1f}, PyTorch {theirs.tokens_per_s:.1f} tokens/s"
        print(f"  round {turn + 1}: {rates}", flush=True)
    return duel


def met(duel: Duel, ratio: float, ours: float, theirs: float) -> bool:
    near_roof = duel.roof is not None and theirs > PEER_NEAR_ROOF * duel.roof
    return ratio >= WANTED_RATIO[duel.dtype] or (near_roof and ours >= WANTED_OF_ROOF * duel.roof)


def table_row(duel: Duel) -> str:
    ours, theirs = ([run.tokens_per_s for run in runs] for runs in (duel.ours, duel.theirs))
    ratios = [a / b for a, b in zip(ours, theirs)]
    ratio, mine, peer = (statistics.median(values) for values in (ratios, ours, theirs))
    foreign = max(run.foreign_cpu for run in duel.ours + duel.theirs)
    peaks = [max(max(run.peak_rss) for run in runs) / 2**20 for runs in (duel.ours, duel.theirs)]
    of_roof = [f"{100 * rate / duel.roof:.0f}%" if duel.roof else "-" for rate in (mine, peer)]
    cells = [
        f"{duel.layout.ranks} x {duel.layout.threads}", duel.dtype, f"{mine:.1f}", f"{peer:.1f}",
        f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})", *of_roof, f"{peaks[0]:.0f}", f"{peaks[1]:.0f}",
        f"{duel.ours[-1].last_loss:.3f}", f"{duel.theirs[-1].last_loss:.3f}", f"{100 * foreign:.0f}%",
        "yes" if met(duel, ratio, mine, peer) and peaks[0] < peaks[1] else "no", f"`{' '.join(duel.recipe)}`",
    ]
    return "| " + " | ".join(cells) + " |"


def table(duels: list[Duel]) -> str:
    head = [
        "ranks x threads", "dtype", "edgetrain tokens/s", "PyTorch tokens/s", "ratio (of rounds)", "edgetrain of roof",
        "PyTorch of roof", "edgetrain MiB per rank", "PyTorch MiB per rank", "our last loss", "their last loss",
        "others' processor time", "bars met", "PyTorch recipe",
    ]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *map(table_row, duels)])


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=Path("build/release/bin/edgetrain"))
    parser.add_argument("--job", type=Path, default=HERE / "gpt2_124m.yaml")
    parser.add_argument("--model", default="gpt2-124m", help="of train_torch.py; the job must describe the same one")
    parser.add_argument("--data", type=Path, default=Path("data/austen"), help="for PyTorch; the job names its own")
    parser.add_argument("--layouts", type=Layout.parse, nargs="+", default=[Layout(1, 2), Layout(2, 1)])
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="measured steps of a run")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--survey-steps", type=int, default=3)
    parser.add_argument("--micro-batch", type=int, default=4, help="of each rank")
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--override", nargs="*", default=[], help="section.key=value, for edgetrain")
    parser.add_argument("--no-compile", action="store_true", help="skip torch.compile, which takes minutes to start")
    parser.add_argument("--no-roof", action="store_true")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    if not args.binary.is_file():
        sys.exit(f"{args.binary} does not exist: `make build` first, and run this from the root of the tree")
    duels = [fight(args, layout, dtype) for layout in args.layouts for dtype in args.dtypes]
    print("\n" + table(duels))
    if any(run.foreign_cpu > FOREIGN_CPU_ALLOWED for duel in duels for run in duel.ours + duel.theirs):
        sys.exit("The machine was not ours alone: these figures are no measurement. Run it again when it is idle.")


if __name__ == "__main__":
    main(parse(sys.argv[1:]))

"""The drill `latency`: what moves cost those who wait for answers.

A cluster of 3 nodes takes half the load that it can, open loop: what is late counts as late. A fourth node joins, and
leaves again, and the 99th percentile while its share of the data moves is held against the one just before. The load is
`dynamo bench`; it and all nodes share the processors. Both moves are made so many times, and the medians count.
"""

import json
import statistics
import subprocess
from pathlib import Path

from .elastic import say, table
from .nodes import Broken, Cluster, wait_for

START = 3
KINDS = ("read", "update")  # As `dynamo bench` names them.
SETTLED_WITHIN = 300  # Seconds.


def processors():
    """How long all processors were idle since the machine began, and how long that is, in ticks."""
    ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return ticks[3] + ticks[4], sum(ticks)


class Latency:
    def __init__(self, options):
        self.options = options
        self.cluster, self.rate = None, None

    def run(self):
        o = self.options
        directory = Path("target/drill-latency")
        binaries = Path(o.binaries or "target/release").resolve()
        self.dynamo = binaries / "dynamo"
        self.config = directory / "client" / "client.toml"
        broken = True
        try:
            self.cluster = Cluster(directory, binaries / "dynamo-node", START, START + o.rounds, o.partitions)
            highest = self.bench("--duration", "5s")["throughput"]
            self.rate = max(1, round(highest * o.load))
            say(f"{o.keys} keys of {o.size} bytes; {highest:.0f} operations/s at most, {self.rate} from now on")
            rounds = [self.round(START + 1 + number) for number in range(o.rounds)]
            broken = self.judge(rounds)
        except Broken as what:
            say(f"BROKEN: {what}")
        finally:
            if self.cluster:
                self.cluster.end()
                if not broken:
                    self.cluster.remove()
        return 1 if broken else 0

    def bench(self, *more):
        o = self.options
        command = [self.dynamo, "bench", "--config", self.config, "--json", "--mix", "a", "--records", o.keys,
                   "--value-bytes", o.size, "--distribution", "uniform", "--warm-up", "1s", *more]
        if self.rate:
            command += ["--no-load", "--rate", self.rate]
        idle, passed = processors()
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise Broken(f"dynamo bench: {done.stderr.strip()}")
        idle_then, passed_then = processors()
        figures = json.loads(done.stdout)
        figures["busy"] = 1 - (idle_then - idle) / (passed_then - passed)
        return figures

    def round(self, new):
        """A node joins, with the load before and amid that; then it leaves. A node that has left does not come back."""
        cluster = self.cluster
        cluster.make(new)
        cluster.start(new)
        wait_for("the new node is known", lambda: cluster.state(1, new) == "joining", 30)
        joined = self.move("join", [{"join": f"node-{new}"}])
        wait_for("it is a member", lambda: cluster.state(1, new) == "member", 30)
        left = self.move("leave", [{"leave": f"node-{new}"}])
        wait_for("it is removed", lambda: cluster.state(1, new) == "removed", SETTLED_WITHIN)
        cluster.stop(new)
        return [joined, left]

    def move(self, what, changes):
        cluster, window = self.cluster, f"{self.options.window:g}s"
        before = self.bench("--duration", window)
        plan = cluster.commit(1, changes)
        during = self.bench("--duration", window)
        still = not all(cluster.settled(node) for node in range(1, START + 1))
        lasted = wait_for("the move has ended", lambda: all(cluster.settled(n) for n in range(1, START + 1)), SETTLED_WITHIN)
        lasted += self.options.window + 1
        failed = sum(sum(figures["errors"].values()) for figures in (before, during))
        say(f"{what}: {plan['copies_moved']} copies in {lasted:.0f} s; p99 of gets {self.p99(before, 'read'):.2f} ms, then "
            f"{self.p99(during, 'read'):.2f}; processors busy {before['busy']:.0%}, then {during['busy']:.0%}; {'' if still else 'it ended before the load did; '}{failed} requests failed")
        return {"what": what, "before": before, "during": during, "failed": failed, "lasted": lasted}

    def p99(self, figures, kind):
        return figures["latencies"][kind]["p99_us"] / 1000

    def judge(self, rounds):
        broken = False
        rows = [("move", "of", "p99 before", "during", "ratio", "median of the ratios")]
        for place, what in enumerate(("join", "leave")):
            for kind in KINDS:
                pairs = [(self.p99(r[place]["before"], kind), self.p99(r[place]["during"], kind)) for r in rounds]
                ratios = [during / before for before, during in pairs]
                median = statistics.median(ratios)
                for (before, during), ratio in zip(pairs, ratios):
                    rows.append((what, kind, f"{before:.2f}", f"{during:.2f}", f"{ratio:.2f}", ""))
                rows.append((what, kind, "", "", "", f"{median:.2f}"))
                broken |= median > self.options.most
        table(rows)
        failed = sum(move["failed"] for moves in rounds for move in moves)
        if failed:
            say(f"BROKEN: {failed} requests failed")
        return broken or failed > 0


def add_options(parser):
    parser.add_argument("--rounds", type=int, default=5, help="latency: how often a node joins and leaves")
    parser.add_argument("--most", type=float, default=2, help="latency: how many times the 99th percentile may be")

"""The drill `elastic`: a cluster grows from 3 to 6 nodes and shrinks to 4 under load, and no promise breaks.

Three changes: one node joins; two join in one plan; two leave in one plan. With --kill a sender, a receiver and the node
that took the commit are killed at random moments of each move, one after the other, and started again at once.
"""

import concurrent.futures
import random
import time
from pathlib import Path

from .clients import BUCKETS, Clients, Link, Shared, key_name, shown
from .history import ACKED, keys_of, lost, outcome, phantom, returned, stale, story
from .nodes import Broken, Cluster, Meters, wait_for

START, MOST = 3, 6
STEPS = (("join", (4,)), ("join", (5, 6)), ("leave", (2, 5)))
FINE = (200, 204, 300, 404)
MOVE_WITHIN = 180  # Seconds.
CALIBRATION = 4
IMBALANCE_MAX = 0.02
REQUESTS_AN_OPERATION = 1.4
SERVED = ("dynamo_gets_coordinated_total", "dynamo_puts_coordinated_total")
SENT_BYTES = "dynamo_transport_bytes_sent_total"
MOVED_BYTES = "dynamo_anti_entropy_record_bytes_sent_total"
MOVED_RECORDS = "dynamo_anti_entropy_records_sent_total"


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [str(cell).ljust(width) if not n else str(cell).rjust(width)
                 for n, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells), flush=True)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


class Drill:
    def __init__(self, options):
        self.options, self.luck = options, random.Random(f"{options.seed} drill")
        self.shared = Shared(MOST)
        self.cluster = self.meters = self.clients = None
        self.broken, self.moves, self.kills = [], [], []
        self.link_rates = []  # Bytes a second between nodes in each window at rest: full speed, before, after, …
        self.windows = []  # (what, step, began, ended)

    def demand(self, what, fine):
        if not fine:
            self.broken.append(what)
            say(f"BROKEN: {what}")

    def run(self):
        o = self.options
        directory = Path("target/drill-elastic")
        try:
            program = Path(o.binaries or "target/release").resolve() / "dynamo-node"
            self.cluster = Cluster(directory, program, START, MOST, o.partitions)
            self.meters = Meters(self.cluster)
            for bucket in BUCKETS:
                status, found = self.cluster.ask(1, "PUT", f"/v1/buckets/{bucket}", {"profile": bucket})
                if status != 200:
                    raise Broken(f"the bucket {bucket} cannot be set: {status} {found}")
            for node in range(1, START + 1):
                self.shared.serving[node] = 1
            self.shared.kills.value = int(o.kill)
            self.clients = Clients(o, self.shared, self.cluster.http_base)
            self.clients.loaded()
            say(f"{o.keys} keys of {o.size} bytes are there, {o.partitions} partitions, seed {o.seed}")
            self.meters.read()
            self.served = sum(self.meters.total(name) for name in SERVED)
            self.rest("calibration", None, CALIBRATION)
            self.pace()
            self.rest("before", 0, o.window)
            for step, (kind, nodes) in enumerate(STEPS):
                self.move(step, kind, nodes)
                self.rest("after", step, o.window)
            operations = self.clients.end()
            self.judge(operations)
        except Broken as broken:
            self.demand(str(broken), False)
        finally:
            if self.clients:
                self.clients.kill()
            if self.cluster:
                self.cluster.end()
                if not self.broken:
                    self.cluster.remove()
        if self.broken:
            say(f"FAILED: {len(self.broken)} promises are broken; logs are in {directory}/node-*/log, seed {o.seed}")
        return 1 if self.broken else 0

    def rest(self, what, step, seconds):
        self.meters.read()
        began, carried = time.monotonic(), self.meters.total(SENT_BYTES)
        while time.monotonic() - began < seconds:
            time.sleep(0.25)
            self.meters.read()
        ended = time.monotonic()
        self.windows.append((what, step, began, ended))
        self.link_rates.append((self.meters.total(SENT_BYTES) - carried) / (ended - began))

    def pace(self):
        """From as fast as the clients can to the given share of that."""
        _, _, began, ended = self.windows[-1]
        done = sum(self.meters.total(name) for name in SERVED) - self.served
        # A read-modify-write is two requests and one operation.
        rate = self.options.rate or done / (ended - began) / REQUESTS_AN_OPERATION * self.options.load
        self.shared.interval.value = self.options.clients / rate
        say(f"{done / (ended - began):.0f} requests/s at full speed; {rate:.0f} operations/s from now on")
        time.sleep(1)

    def move(self, step, kind, nodes):
        cluster = self.cluster
        cluster_before = cluster.running()
        if kind == "join":
            for node in nodes:
                cluster.make(node)
                cluster.start(node)
            wait_for(f"{nodes} are known as joining",
                     lambda: all(cluster.state(at, node) == "joining" for node in nodes for at in cluster_before), 30)
        self.meters.read()
        carried = self.meters.total(SENT_BYTES)
        moved = [self.meters.total(name) for name in (MOVED_RECORDS, MOVED_BYTES)]
        taker = self.luck.choice([n for n in cluster_before if kind == "join" or n not in nodes])
        began = time.monotonic()
        # What the links carry beside the move is what they carry before and after it.
        plan = cluster.commit(taker, [{kind: f"node-{node}"} for node in nodes])
        committed = time.monotonic()
        say(f"{kind} {list(nodes)}, committed by node {taker} in {committed - began:.2f} s: "
            f"{plan['copies_moved']} of {plan['copies']} copies move (bound {plan['copies_lower_bound']})")
        if kind == "join":
            cluster.wait_ready(nodes)
            for node in nodes:
                self.shared.serving[node] = 1
        elif self.options.drain:
            for node in nodes:
                self.shared.serving[node] = 0
        gone = set()
        kills = self.kill_during(step, plan, taker) if self.options.kill else None
        killing = self.options.kill
        while True:
            if kind == "leave":
                self.take_off(set(nodes) - gone, taker, gone)
            if killing:
                killing = next(kills, None) is not None
            self.meters.read()
            stay = [node for node in cluster.running() if node not in gone]
            arrived = gone == set(nodes) if kind == "leave" else all(cluster.state(taker, n) == "member" for n in nodes)
            if not killing and arrived and all(cluster.settled(node) for node in stay):
                break
            if time.monotonic() - committed > MOVE_WITHIN:
                moves = cluster.ask(taker, "GET", "/v1/transfers")[1]
                raise Broken(f"after {MOVE_WITHIN} s the move has not ended: {str(moves)[:2000]}")
            # Looking at it costs what the latencies would show: no more often than in the windows at rest.
            time.sleep(0.1 if killing else 0.25)
        ended = time.monotonic()
        self.windows.append(("during", step, committed, ended))
        carried = self.meters.total(SENT_BYTES) - carried
        for node in sorted(gone):
            cluster.stop(node)
        self.meters.read()
        moved = [self.meters.total(name) - before for name, before in zip((MOVED_RECORDS, MOVED_BYTES), moved)]
        self.moves.append({
            "step": step, "what": f"{kind} {'+'.join(map(str, nodes))}", "plan": plan, "took": ended - committed,
            "bytes": carried, "lasted": ended - began, "records": moved[0], "moved": moved[1],
            "imbalance": self.imbalance(),
        })
        say(f"settled on all nodes after {ended - committed:.1f} s")

    def take_off(self, leaving, at, gone):
        """A node that is removed is asked no more, as a load balancer would do that heeds /readyz."""
        for node in leaving:
            if self.cluster.ask(node, "GET", "/readyz")[0] == 503 and self.cluster.state(at, node) == "removed":
                self.shared.serving[node] = 0
                gone.add(node)

    def kill_during(self, step, plan, taker):
        """Kills one node after the other; goes on by a step each time that it is asked, and ends."""
        number = {node["node"]: int(node["name"].removeprefix("node-")) for node in plan["nodes"]}
        number |= {node["name"]: int(node["name"].removeprefix("node-")) for node in plan["nodes"]}
        link = self.luck.choice([link for link in plan["links"] if link["copies"]])
        victims = [("sender", number[link["from"]]), ("receiver", number[link["to"]]), ("taker of the commit", taker)]
        self.luck.shuffle(victims)
        for role, node in victims:
            pause = time.monotonic() + self.luck.uniform(0, self.options.kill_pause)
            while time.monotonic() < pause:
                yield True
            if self.cluster.processes[node].poll() is not None or self.cluster.state(taker, node) == "removed":
                continue
            served = self.shared.serving[node]
            moving = not self.cluster.settled(taker)
            self.cluster.kill(node)
            self.shared.serving[node] = 0
            self.cluster.start(node)
            at = time.monotonic()
            while self.cluster.ask(node, "GET", "/readyz")[0] != 200:
                if time.monotonic() - at > 60 or self.cluster.processes[node].poll() is not None:
                    raise Broken(f"node {node} is not ready again after it was killed")
                if self.cluster.state(taker, node) == "removed":
                    break
                yield True
            else:
                self.shared.serving[node] = served
            self.kills.append((step, role, node, at, time.monotonic(), moving))
            say(f"killed node {node} ({role}{'' if moving else ', though nothing moved any more'}), "
                f"ready again after {time.monotonic() - at:.2f} s")

    def imbalance(self):
        """How far the worst node is from its ideal share, as every node sees it."""
        worst = 0.0
        for node in self.members():
            holders = {}
            for partition in self.cluster.ring(node)["partitions"]:
                for holder in partition:
                    holders[holder] = holders.get(holder, 0) + 1
            here = [m for m in self.cluster.members(node).values() if m["state"] == "member"]
            ideal = sum(holders.values()) / len(here)
            worst = max([worst, *(abs(holders.get(m["id"], 0) / ideal - 1) for m in here)])
        return worst

    def members(self):
        return [node for node in self.cluster.running() if self.shared.serving[node]]

    # What came of it.

    def judge(self, operations):
        keys = keys_of(operations)
        self.judge_load(operations, keys)
        members = self.members()
        quiet = wait_for("nothing moves and no hint is left", lambda: self.quiet(members), 60)
        names = [key_name(number) for number in range(self.options.keys)]
        try:
            # A node that was restarted finds its old deletes by its scrub, a partition a second, and collects them
            # then; until then its replicas differ from those that have collected them.
            within = 60 + (2 * self.options.partitions if self.options.kill else 0)
            agreed = wait_for("all replicas of all keys agree", lambda: self.agree(names, members), within, 1)
            say(f"after the load: no hints after {quiet:.1f} s, all replicas agree {agreed:.1f} s later")
        except Broken as broken:
            self.demand(f"{broken}: {len(self.disagreeing)} do not", False)
            for name in self.disagreeing[:3]:
                print(story(keys[name]), flush=True)
                print(f"    explain: {self.cluster.ask(members[0], 'GET', f'/v1/explain/{name}')[1]}", flush=True)
        self.judge_end(names, keys, members)
        self.print_figures(operations, keys)

    def quiet(self, members):
        self.meters.read()
        left = sum(self.meters.gauge(name) for name in ("dynamo_hints", "dynamo_incomplete_partitions",
                                                         "dynamo_leftover_partitions"))
        return left == 0 and all(self.cluster.settled(node) for node in members)

    def agree(self, names, members):
        def agrees(name):
            status, found = self.cluster.ask(members[0], "GET", f"/v1/explain/{name}")
            return status == 200 and found["agree"] and not found["hints"]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.disagreeing = [n for n, fine in zip(names, pool.map(agrees, names)) if not fine]
        return not self.disagreeing

    def judge_load(self, operations, keys):
        failed = [o for o in operations if o.status not in FINE]
        for o in failed[:10]:
            phase = next((f"{w} {s}" for w, s, b, e in self.windows if b <= o.began < e), "between")
            kills = [f"{o.began - at:.2f} s after node {node} was killed"
                     for _, _, node, at, _, _ in self.kills if at - 2 < o.began < at + 3]
            say(f"  failed: {o.kind} {o.key} at node {o.node} ({phase}) after {o.ended - o.began:.2f} s, "
                f"{', '.join(kills)}: {o.status} {o.problem} {o.errors}")
        self.demand(f"no request fails: {len(failed)} of {len(operations)} did", not failed)
        tried = [o for o in operations if o.tries > 1]
        self.demand("without kills no connection breaks", self.options.kill or not tried)
        missed, back, bad = {}, {}, []
        for key in keys.values():
            for get in (get for get in key.gets if get.status in FINE):
                bad += [(key, i) for i in phantom(key, get.ids)]
                missing, shown_again = stale(key, get)
                bucket = key.name.split("/")[0]
                if missing:
                    missed.setdefault(bucket, []).append((key, get, missing))
                if shown_again:
                    back.setdefault(bucket, []).append((key, get, shown_again))
        self.stale = {b: (len(missed.get(b, ())), len(back.get(b, ()))) for b in BUCKETS}
        self.demand(f"no get shows what was never put, or failed: {[(k.name, i) for k, i in bad[:5]]}", not bad)
        if not self.options.kill:
            for bucket in ("business-logic", "timestamp"):
                worst = (missed.get(bucket, []) + back.get(bucket, []))[:2]
                self.demand(f"gets of {bucket} show what was acknowledged before, {self.stale[bucket]} do not "
                            f"{[(k.name, g.id, m) for k, g, m in worst]}", not worst)
                for key, _, _ in worst:
                    print(story(key), flush=True)

    def judge_end(self, names, keys, members):
        def read_everywhere(name):
            link, found = Link(self.cluster.http_base), {}
            for node in members:
                status, data, _ = link.ask(node, "GET", f"/v1/kv/{name}")
                found[node] = shown(status, data, self.options.size) if status in (200, 300, 404) else None
            for open_link in link.links.values():
                open_link.close()
            return found

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = dict(zip(names, pool.map(read_everywhere, names)))
        gone, back, odd, unread, self.excused = [], [], [], 0, 0
        for name, found in answers.items():
            key = keys[name]
            for node, ids in found.items():
                if ids is None:
                    unread += 1
                    continue
                gone += [(name, node, i) for i in lost(key, ids)]
                again, twice = returned(key, ids)
                back += [(name, node, i) for i in again]
                self.excused += len(twice)
                odd += [(name, node, i) for i in phantom(key, ids)]
        self.reads = len(names) * len(members)
        self.demand(f"every key is readable at the end, {unread} reads failed", not unread)
        self.demand(f"no acknowledged write is missing: {len(gone)} {gone[:5]}", not gone)
        self.demand(f"nothing that was deleted or replaced is back: {len(back)} {back[:5]}", not back)
        self.demand(f"nothing is there that was never put: {odd[:5]}", not odd)
        for name in sorted({name for name, _, _ in gone + back + odd})[:3]:
            print(story(keys[name]), flush=True)
            print(f"    explain: {self.cluster.ask(members[0], 'GET', f'/v1/explain/{name}')[1]}", flush=True)
        self.left = sum(1 for found in answers.values() if not all(found.values()))

    def print_figures(self, operations, keys):
        o = self.options
        writes = [w for key in keys.values() for w in key.writes()]
        replaced = sum(len(w.ids) for w in writes if outcome(w) == ACKED)
        retried = sum(1 for w in operations if w.tries > 1)
        print(flush=True)
        table([
            ("requests", len(operations)),
            ("of them gets, puts, deletes", " ".join(str(sum(1 for x in operations if x.kind == k))
                                                     for k in ("get", "put", "delete"))),
            ("failed", sum(1 for x in operations if x.status not in FINE)),
            ("sent again after a broken connection", retried),
            ("acknowledged writes judged", sum(1 for w in writes if outcome(w) == ACKED)),
            ("versions they replaced or deleted", replaced),
            ("keys without a value at the end", self.left),
            ("reads at the end, over all nodes", self.reads),
            ("second versions of retried puts shown (excused)", self.excused),
            ("gets under load that missed a write, showed a replaced one",
             "; ".join(f"{b} {m}, {s}" for b, (m, s) in self.stale.items())),
            ("gets that showed siblings", sum(1 for x in operations if x.kind == "get" and len(x.ids) > 1)),
        ])
        print(flush=True)
        rows = [("move", "seconds", "copies moved", "bound", "records", "plan says MB", "sent records", "sent MB", "of plan",
                 "links: MB", "imbalance")]
        for move in self.moves:
            plan = move["plan"]
            share = plan["copies_moved"] * o.keys / o.partitions
            usual = (self.link_rates[move["step"] + 1] + self.link_rates[move["step"] + 2]) / 2
            beyond = (move["bytes"] - usual * move["lasted"]) / 1e6
            rows.append((move["what"], f"{move['took']:.1f}", f"{plan['copies_moved']}/{plan['copies']}",
                         plan["copies_lower_bound"], f"{share:.0f}", f"{plan['bytes'] / 1e6:.2f}",
                         f"{move['records']:.0f}", f"{move['moved'] / 1e6:.2f}", f"{move['moved'] / plan['bytes']:.2f}",
                         f"{beyond:.2f}", f"{move['imbalance']:.2%}"))
            self.demand(f"{move['what']} moves no more than its bound",
                        plan["copies_moved"] <= plan["copies_lower_bound"])
            self.demand(f"after {move['what']} every node has its share within 2 %", move["imbalance"] <= IMBALANCE_MAX)
        table(rows)
        print("  (records: the plan's share of all keys; sent: by anti-entropy; links: what nodes sent each other beyond the "
              "usual of the windows before and after, writes to both sets of what moves among it)\n", flush=True)
        rows = [("window", "seconds", "requests/s", "get p50", "p99", "p99.9", "sent p99.9", "put p50", "p99", "p99.9",
                 "sent p99.9")]
        for what, step, began, ended in self.windows:
            inside = [x for x in operations if began <= x.began < ended and x.status in FINE]
            origin = (lambda x: x.began) if what == "calibration" else (lambda x: x.due)
            cells = []
            for kinds in (("get",), ("put", "delete")):
                times = [(x.ended - origin(x)) * 1000 for x in inside if x.kind in kinds]
                sent = [(x.ended - x.began) * 1000 for x in inside if x.kind in kinds]
                cells += [f"{percentile(times, p):.1f}" for p in (0.5, 0.99, 0.999)]
                cells.append(f"{percentile(sent, 0.999):.1f}")
            label = "full speed" if step is None else f"{what} {self.moves[step]['what']}"
            rows.append((label, f"{ended - began:.1f}", f"{len(inside) / (ended - began):.0f}", *cells))
        table(rows)
        print("  (milliseconds from when a request was due; `sent`: from when it was sent; waiting for a processor counts)", flush=True)
        if self.kills:
            print(flush=True)
            table([("killed", "during", "as", "ready again after", "moving then")] + [
                (f"node {node}", self.moves[step]["what"], role, f"{ready - at:.2f} s", "yes" if moving else "no")
                for step, role, node, at, ready, moving in self.kills])
        print(flush=True)


def add_options(parser):
    parser.add_argument("--kill", action="store_true", help="elastic: kill and restart nodes amid the moves")
    parser.add_argument("--drain", action="store_true", help="elastic: ask a node no more once its leave is committed")
    parser.add_argument("--partitions", type=int, default=128, help="elastic: a power of two")
    parser.add_argument("--size", type=int, default=1024, help="elastic: bytes of a value")
    parser.add_argument("--window", type=float, default=6, help="elastic: seconds before and after each move")
    parser.add_argument("--clients", type=int, default=8, help="elastic: processes that put load")
    parser.add_argument("--load", type=float, default=0.5, help="elastic: share of the highest throughput")
    parser.add_argument("--rate", type=float, help="elastic: operations a second, instead of --load")
    parser.add_argument("--kill-pause", type=float, default=1.5, help="elastic: most seconds between kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="elastic: of all choices")
    parser.add_argument("--binaries", help="elastic: where dynamo-node is; without it, it is built")

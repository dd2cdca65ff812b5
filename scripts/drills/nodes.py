"""A cluster of real nodes that the drill itself starts, kills, and asks."""

import http.client
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

PORTS_FROM = 17300
PORTS_TO = 19000


class Broken(Exception):
    """A promise that does not hold, or something without which it cannot be judged."""


def wait_for(what, done, within, pause=0.05):
    """Waits until something is so; says after how many seconds it was."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > within:
            raise Broken(f"after {within} s it is not so that {what}")
        time.sleep(pause)
    return time.monotonic() - began


def free_base(count):
    """A port such that nobody listens on the `count` ports behind it, neither TCP nor UDP."""
    for base in range(PORTS_FROM, PORTS_TO, 20):
        try:
            for port in range(base + 1, base + count + 1):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise Broken(f"no free ports between {PORTS_FROM} and {PORTS_TO}")


class Cluster:
    """Nodes by number from 1; node `i` serves HTTP on `http_base + i`."""

    def __init__(self, directory, program, nodes, most, partitions):
        self.directory, self.program = Path(directory), program
        self.processes, self.logs = {}, {}
        quic = free_base(2 * most)
        self.quic_base, self.http_base = quic, quic + most
        if self.directory.exists():
            shutil.rmtree(self.directory)
        self._run("init", "--dir", directory, "--nodes", nodes, "--replication", 3, "--partitions", partitions,
                  "--quic-base", self.quic_base, "--http-base", self.http_base)
        for node in range(1, nodes + 1):
            self.start(node)
        self.wait_ready(range(1, nodes + 1))

    def _run(self, *arguments):
        command = [self.program, *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    def make(self, node):
        """Files for one more node."""
        self._run("add-node", "--dir", self.directory, "--name", f"node-{node}", "--address",
                  f"127.0.0.1:{self.quic_base + node}", "--http-address", f"127.0.0.1:{self.http_base + node}")

    def start(self, node):
        home = self.directory / f"node-{node}"
        log = self.logs.setdefault(node, open(home / "log", "ab"))
        self.processes[node] = subprocess.Popen([self.program, "run", "--config", home / "dynamo.toml"],
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_ready(self, nodes, within=60):
        def ready():
            ended = [node for node in nodes if self.processes[node].poll() is not None]
            if ended:
                raise Broken(f"nodes {ended} ended by themselves; see {self.directory}/node-*/log")
            return all(self.ask(node, "GET", "/readyz")[0] == 200 for node in nodes)

        return wait_for(f"nodes {list(nodes)} are ready", ready, within)

    def kill(self, node):
        self.processes[node].kill()
        self.processes[node].wait()

    def stop(self, node):
        self.processes[node].terminate()
        try:
            self.processes[node].wait(15)
        except subprocess.TimeoutExpired:
            self.kill(node)
            raise Broken(f"node {node} does not stop within 15 s") from None

    def running(self):
        return sorted(node for node, process in self.processes.items() if process.poll() is None)

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        for log in self.logs.values():
            log.close()

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, node, method, path, body=None):
        """One request by the operator: status and what the JSON says; (None, None) without an answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.http_base + node, timeout=20)
        try:
            link.request(method, path, None if body is None else json.dumps(body))
            answer = link.getresponse()
            text = answer.read()
            found = text.decode() if path == "/metrics" else json.loads(text or "null")
            return answer.status, found
        except (OSError, http.client.HTTPException, ValueError):
            return None, None
        finally:
            link.close()

    def members(self, node):
        return {member["name"]: member for member in self._must(node, "/v1/cluster")["members"]}

    def state(self, at, node):
        status, found = self.ask(at, "GET", "/v1/cluster")
        states = [m["state"] for m in found["members"] if m["name"] == f"node-{node}"] if status == 200 else []
        return states[-1] if states else None

    def _must(self, node, path):
        status, found = self.ask(node, "GET", path)
        if status != 200:
            raise Broken(f"node {node} answers {status} to {path}: {found}")
        return found

    def ring(self, node):
        return self._must(node, "/v1/ring")

    def settled(self, node):
        """Whether a node knows of nothing that moves."""
        status, found = self.ask(node, "GET", "/v1/transfers")
        quiet = status == 200 and not found["transfers"] and not found["leaving"]
        return quiet and found["settled"] == found["partitions"]

    def commit(self, at, changes):
        """Plans and commits; the plan. Another change in between is planned around, as people would."""
        for _ in range(5):
            status, plan = self.ask(at, "POST", "/v1/cluster/plan", {"changes": changes})
            if status != 200:
                raise Broken(f"node {at} refuses to plan {changes}: {status} {plan}")
            status, done = self.ask(at, "POST", "/v1/cluster/commit", {"changes": changes, "plan": plan["plan"]})
            if status == 200:
                return done
            if status != 409:
                raise Broken(f"node {at} did not commit {changes}: {status} {done}")
        raise Broken(f"the cluster changed five times between plan and commit of {changes}")


class Meters:
    """Counters of all nodes, summed over the lives of their processes, read often enough to lose little."""

    def __init__(self, cluster):
        self.cluster, self.last, self.sums = cluster, {}, {}

    def read(self):
        for node in self.cluster.running():
            status, text = self.cluster.ask(node, "GET", "/metrics")
            if status != 200:
                continue
            now = {}
            for line in text.splitlines():
                if line and not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    name = name.split("{")[0]
                    now[name] = now.get(name, 0) + float(value)
            process = self.cluster.processes[node].pid
            before = self.last.get(node, (None, {}))
            before = before[1] if before[0] == process else {}
            for name, value in now.items():
                if name.endswith("_total"):
                    self.sums[name] = self.sums.get(name, 0) + value - before.get(name, 0)
            self.last[node] = (process, now)

    def total(self, name):
        if name not in self.sums:
            raise Broken(f"there is no metric {name}")
        return self.sums[name]

    def gauge(self, name):
        """The sum over running nodes, as last read; a gauge without a sample is 0."""
        return sum(self.last[node][1].get(name, 0) for node in self.cluster.running() if node in self.last)

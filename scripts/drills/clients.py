"""Clients under constant load, each a process of its own, that keep all they did and saw.

Every value carries its own id and the ids that it replaced. A put or delete of the read-modify-write kind reads,
remembers the ids that it saw, and writes with the context of that read. Several clients share each key.
"""

import base64
import http.client
import json
import multiprocessing
import random
import time
from dataclasses import dataclass, field

BUCKETS = ("business-logic", "timestamp", "read-engine")
DOOMED = 10  # Of so many keys one is never put again once it was deleted.
TRIES_FOR = 15  # Seconds for which a request whose connection broke is tried again.


@dataclass
class Operation:
    """A get, put or delete as its client knows it; times are those of the machine's monotonic clock."""

    kind: str
    key: str
    id: str
    node: int
    due: float
    began: float
    ended: float
    status: int | None
    ids: tuple  # What a get showed; what a put or delete replaced.
    tries: int = 1
    problem: str = ""
    siblings: int = 0
    errors: list = field(default_factory=list)


def key_name(number):
    return f"{BUCKETS[number % len(BUCKETS)]}/{number}"


def doomed(number):
    return number // len(BUCKETS) % DOOMED == 0


def body(identity, replaced, size):
    head = json.dumps({"id": identity, "replaced": replaced}).encode() + b"\n"
    return head + (identity.encode() * (size // len(identity) + 1))[: max(0, size - len(head))]


def identity_of(value, size):
    """The id within a value, which must be whole."""
    head = json.loads(value.split(b"\n", 1)[0])
    if value != body(head["id"], head["replaced"], size):
        raise ValueError(f"a value of {head['id']} is damaged")
    return head["id"]


def shown(status, data, size):
    """The ids that an answer to a GET shows."""
    if status == 200:
        return (identity_of(data, size),)
    if status == 300:
        return tuple(identity_of(base64.b64decode(s["value"]), size) for s in json.loads(data)["siblings"])
    return ()


class Link:
    """Connections to all nodes, kept open."""

    def __init__(self, http_base):
        self.http_base, self.links = http_base, {}

    def ask(self, node, method, path, data=None, headers=None):
        """Status, body and headers, or the error of a connection that broke."""
        link = self.links.get(node)
        if link is None:
            link = self.links[node] = http.client.HTTPConnection("127.0.0.1", self.http_base + node, timeout=20)
        try:
            link.request(method, path, data, headers or {})
            answer = link.getresponse()
            return answer.status, answer.read(), answer.headers
        except (OSError, http.client.HTTPException) as error:
            link.close()
            del self.links[node]
            return None, repr(error).encode(), {}


class Shared:
    """What the drill tells its clients while they run."""

    def __init__(self, most):
        self.serving = multiprocessing.Array("b", most + 1, lock=False)
        self.interval = multiprocessing.Value("d", 0.0, lock=False)  # Seconds between operations of a client.
        self.stop = multiprocessing.Event()
        self.kills = multiprocessing.Value("b", 0, lock=False)


class Client:
    def __init__(self, number, options, shared, http_base):
        self.number, self.options, self.shared = number, options, shared
        self.link = Link(http_base)
        self.luck = random.Random(f"{options.seed} {number}")
        self.history, self.made, self.deleted = [], 0, set()
        # Each key belongs to two clients.
        clients = options.clients
        self.keys = [k for k in range(options.keys) if number in (k // 3 % clients, (k // 3 + 1) % clients)]

    def pick(self, but=()):
        nodes = [node for node, serves in enumerate(self.shared.serving) if serves]
        others = [node for node in nodes if node not in but]
        return self.luck.choice(others or nodes)

    def request(self, kind, key, due, replaced=(), context=None):
        """One request, and its entry in the history. Another node is tried only where nodes are killed and the
        connection broke; all tries have one Idempotency-Key."""
        self.made += 1
        identity = f"{self.number}.{self.made}"
        method = {"get": "GET", "put": "PUT", "delete": "DELETE"}[kind]
        data = body(identity, replaced, self.options.size) if kind == "put" else None
        headers = {"Dynamo-Context": context} if context else {}
        if kind != "get":
            headers["Idempotency-Key"] = identity
        node, tries, errors = self.pick(), 1, []
        began = time.monotonic()
        while True:
            status, answer, answered = self.link.ask(node, method, f"/v1/kv/{key}", data, headers)
            if status is not None or not self.shared.kills.value or time.monotonic() - began > TRIES_FOR:
                break
            errors.append((node, answer.decode()))
            node, tries = self.pick(but=(node,)), tries + 1
            time.sleep(0.005)
        ended = time.monotonic()
        fine = status in ((200, 300, 404) if kind == "get" else (204,))
        ids, problem = tuple(replaced), ""
        if not fine:
            problem = answer.decode(errors="replace")[:300]
        elif kind == "get":
            ids = shown(status, answer, self.options.size)
        self.history.append(Operation(kind, key, identity, node, due, began, ended, status, ids, tries, problem,
                                      len(ids) if kind == "get" else 0, errors))
        return fine, ids, answered.get("Dynamo-Context")

    def preload(self):
        for number in self.keys:
            if number // 3 % self.options.clients == self.number:
                self.request("put", key_name(number), time.monotonic())

    def step(self, due):
        number = self.luck.choice(self.keys)
        key, dice = key_name(number), self.luck.random()
        if dice < 0.5:
            self.request("get", key, due)
            return
        delete = dice >= 0.9
        if not delete and number in self.deleted and doomed(number):
            self.request("get", key, due)
            return
        blind = not delete and self.luck.random() < (0.5 if key.startswith("timestamp") else 0.1)
        if blind and not doomed(number):
            self.request("put", key, due)
            return
        fine, ids, context = self.request("get", key, due)
        if not fine or (doomed(number) and not ids):
            return
        if delete and doomed(number):
            self.deleted.add(number)
        self.request("delete" if delete else "put", key, time.monotonic(), ids, context)

    def run(self):
        due = time.monotonic() + self.luck.random() * 0.02
        while not self.shared.stop.is_set():
            interval = self.shared.interval.value
            now = time.monotonic()
            if interval == 0 or due < now - 5:
                due = now
            if due > now:
                time.sleep(min(due - now, 0.05))
                if due > time.monotonic():
                    continue
            self.step(due)
            due += interval * self.luck.uniform(0.5, 1.5)


def serve(number, options, shared, http_base, pipe):
    """The life of a client's process: what it did goes through the pipe at the end."""
    client = Client(number, options, shared, http_base)
    try:
        client.preload()
        pipe.send(True)
        client.run()
        pipe.send(client.history)
    except Exception as error:  # pylint: disable=broad-except
        pipe.send(error)


class Clients:
    def __init__(self, options, shared, http_base):
        self.processes, self.pipes = [], []
        for number in range(options.clients):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.Process(target=serve, args=(number, options, shared, http_base, there), daemon=True)
            process.start()
            self.processes.append(process)
            self.pipes.append(here)
        self.shared = shared

    def receive(self, within):
        found = []
        for pipe in self.pipes:
            if not pipe.poll(within):
                raise TimeoutError("a client does not come to an end")
            found.append(pipe.recv())
            if isinstance(found[-1], Exception):
                raise found[-1]
        return found

    def loaded(self):
        self.receive(120)

    def end(self):
        """Stops all; everything they did."""
        self.shared.stop.set()
        return [operation for history in self.receive(60) for operation in history]

    def kill(self):
        for process in self.processes:
            process.kill()
            process.join()

#!/usr/bin/env python3
"""Drills a local cluster of real nodes, and fails if one of its promises does not hold.

    scripts/drill.py two-down [--keys 1000]    two of five nodes are killed under load and return
    scripts/drill.py wiped [--keys 5000]       a node misses a whole load and returns with an empty disk
    scripts/drill.py deletes [--keys 100000]   keys are deleted while a node is down
    scripts/drill.py elastic [--kill]          3 nodes become 6 and then 4, under load; see scripts/drills/
    scripts/drill.py latency                   what moves cost those who wait for answers; see scripts/drills/

Run from the project's root. Each drill makes a cluster of its own in target/drill, on ports 17100 and
18100 upwards, with `cargo xtask cluster`, prints what it measured and removes the cluster. It ends by
itself: whatever it waits for has a deadline. Needs nothing but Python's standard library.
`elastic` and `latency` start their nodes by themselves, in target/drill-elastic and target/drill-latency, on ports
that are free.
"""

import argparse
import base64
import concurrent.futures
import http.client
import json
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True  # This folder is no place for caches.
from drills import elastic, latency  # noqa: E402

NODES = 5
HTTP_BASE = 18100
QUIC_BASE = 17100
CLIENTS = 16
NEWER = b"while two are down"

local = threading.local()


def xtask(*arguments, quiet=True):
    command = ["cargo", "xtask", "cluster", *arguments, "--dir", "target/drill"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL if quiet else None)


def request(node, method, path, body=None, headers=None):
    """One request to one node; connections are kept per thread. None if the node cannot be reached."""
    links = local.__dict__.setdefault("links", {})
    for _ in range(2):
        link = links.get(node)
        fresh = link is None
        if fresh:
            link = http.client.HTTPConnection("127.0.0.1", HTTP_BASE + node, timeout=20)
            links[node] = link
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            return answer.status, answer.read(), answer.headers
        except (OSError, http.client.HTTPException):
            links.pop(node, None)
            if fresh:
                return None
    return None


def each(items, work):
    """Does `work` for every item, some at once; the results in order."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, items))


def metrics(node):
    answer = request(node, "GET", "/metrics")
    found = {}
    if answer and answer[0] == 200:
        for line in answer[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0]
                found[name] = found.get(name, 0) + float(value)
    return found


def total(name, nodes=range(1, NODES + 1)):
    found = [metrics(node) for node in nodes]
    # A gauge may have no sample; a counter that nobody has is misspelt, and would always be 0.
    known = not name.endswith("_total") or any(name in figures for figures in found)
    demand(f"there is a metric {name}", known)
    return sum(figures.get(name, 0) for figures in found)


def explain(node, key):
    answer = request(node, "GET", f"/v1/explain/{key}")
    return json.loads(answer[1]) if answer and answer[0] == 200 else None


def until(what, done, within):
    """Waits until something is so; says after how many seconds it was."""
    began = time.monotonic()
    while True:
        if done():
            return time.monotonic() - began
        if time.monotonic() - began > within:
            sys.exit(f"FAILED: after {within} s it is not so that {what}")
        time.sleep(0.05)


def demand(what, fine):
    if not fine:
        sys.exit(f"FAILED: {what}")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def put(key, value, alive, options="w=2"):
    """Puts through a living node; the status, or None without an answer."""
    answer = request(alive[hash(key) % len(alive)], "PUT", f"/v1/kv/{key}?{options}", value)
    return answer and answer[0]


def read(key, alive):
    """The values of a key and its context, from a living node."""
    node = alive[hash(key) % len(alive)]
    answer = request(node, "GET", f"/v1/kv/{key}")
    return answer and (answer[0], answer[1], answer[2].get("Dynamo-Context"))


def shows(status, body, value):
    """Whether an answer to a GET has a value, alone or among siblings."""
    if status == 300:
        siblings = json.loads(body)["siblings"]
        return any(base64.b64decode(sibling["value"]) == value for sibling in siblings)
    return status == 200 and body == value


def equal_everywhere(keys, asked):
    def agrees(key):
        found = explain(asked, key)
        return bool(found and found["agree"] and not found["hints"])

    return all(each(keys, agrees))


def writes_of_objects():
    return total("dynamo_replica_writes_total")


def idle_minute():
    """After all that: nothing is written for a minute, and links carry little."""
    before, sent = writes_of_objects(), total("dynamo_transport_bytes_sent_total")
    time.sleep(60)
    written = writes_of_objects() - before
    sent = total("dynamo_transport_bytes_sent_total") - sent
    say(f"idle minute: {written:.0f} records written, {sent / 60 / NODES / 1024:.1f} KiB/s a node")
    demand("a minute after the load nothing is written any more", written == 0)


def two_down(keys):
    names = [f"drill/{number}" for number in range(keys)]
    alive = [1, 2, 3, 4, 5]
    say(f"{keys} puts with w=2, all nodes up")
    demand("all puts succeed", set(each(names, lambda key: put(key, b"before", alive))) == {204})
    xtask("kill", "4")
    xtask("kill", "5")
    alive = [1, 2, 3]
    say("nodes 4 and 5 are killed")

    def overwrite(key):
        # Where two of three replicas are gone and no fallback has the key yet, nobody can tell what
        # it holds: then the put is blind, and its version stands beside the older one.
        node = alive[hash(key) % len(alive)]
        status, _, context = read(key, alive) or (None, None, None)
        headers = {"Dynamo-Context": context} if status == 200 else {}
        answer = request(node, "PUT", f"/v1/kv/{key}?w=2", NEWER, headers)
        return status, answer and answer[0]

    began = time.monotonic()
    outcomes = each(names, overwrite)
    puts = {put for _, put in outcomes}
    demand(f"every put succeeds: {puts}", puts == {204})
    blind = sum(1 for status, _ in outcomes if status != 200)
    say(f"{keys} puts with w=2 succeeded in {time.monotonic() - began:.1f} s, {blind} of them blind")
    found = each(names, lambda key: read(key, alive))
    fine = sum(1 for answer in found if answer and shows(answer[0], answer[1], NEWER))
    demand(f"what was put is readable, {fine} of {keys} are", fine == keys)
    hints = total("dynamo_hints", alive)
    say(f"{hints:.0f} hints are kept")
    delivered = total("dynamo_hints_delivered_total", alive)
    for node in ("4", "5"):
        subprocess.Popen(
            ["cargo", "xtask", "cluster", "restart", node, "--dir", "target/drill"],
            stdout=subprocess.DEVNULL,
        ).wait()
    back = until("4 and 5 answer", lambda: metrics(4) and metrics(5), 30)
    first = until("hints move", lambda: total("dynamo_hints_delivered_total", alive) > delivered, 10)
    drained = until("no hint is left", lambda: total("dynamo_hints", alive) == 0, 30)
    say(f"both are back; first hint within {back + first:.2f} s, all handed over {drained:.2f} s later")
    equal = until("all replicas of all keys agree", lambda: equal_everywhere(names, 1), 30)
    say(f"all replicas agree (explain), {equal:.1f} s later")
    settled = until(
        "every partition is whole",
        lambda: total("dynamo_incomplete_partitions") == 0 and total("dynamo_hints") == 0,
        60,
    )
    say(f"settled {settled:.1f} s later")
    idle_minute()


def wiped(keys):
    names = [f"drill/{number}" for number in range(keys)]
    doomed = [f"drill/doomed-{number}" for number in range(keys // 10)]
    every = [1, 2, 3, 4, 5]
    each(doomed, lambda key: put(key, b"doomed", every))
    # Nobody keeps a hint of these: anti-entropy alone can fill the node with them again.
    early = names[: keys // 2]
    demand("all puts succeed", set(each(early, lambda key: put(key, b"v", every))) == {204})
    xtask("kill", "5")
    alive = [1, 2, 3, 4]
    say("node 5 is killed")
    late = names[keys // 2 :]
    demand("all puts succeed", set(each(late, lambda key: put(key, b"v", alive))) == {204})
    deleted = each(doomed, lambda key: request(alive[hash(key) % 4], "DELETE", f"/v1/kv/{key}"))
    demand("all deletes succeed", {answer[0] for answer in deleted} == {204})
    hints = total("dynamo_hints", alive)
    say(f"{len(late)} puts and {len(doomed)} deletes without it; {hints:.0f} hints")
    xtask("wipe", "5")
    xtask("restart", "5")
    filled = until(
        "node 5 is whole",
        lambda: metrics(5) and total("dynamo_incomplete_partitions") == 0,
        120,
    )
    say(f"node 5 is back with an empty disk, and whole after {filled:.1f} s")
    equal = until("all replicas of all keys agree", lambda: equal_everywhere(names, 1), 60)
    say(f"all replicas of {keys} keys agree (explain), {equal:.1f} s later")
    lost = [key for key, got in zip(names, each(names, lambda key: read(key, [5]))) if got[1] != b"v"]
    back = [key for key, got in zip(doomed, each(doomed, lambda key: read(key, [5]))) if got[0] != 404]
    demand(f"nothing is lost ({len(lost)}) and nothing is back ({len(back)})", not lost and not back)
    say("nothing is lost and nothing came back")


def deletes(keys):
    names = [f"drill/{number}" for number in range(keys)]
    every = [1, 2, 3, 4, 5]
    demand("all puts succeed", set(each(names, lambda key: put(key, b"v", every))) == {204})
    say(f"{keys} keys are put")
    xtask("kill", "5")
    alive = [1, 2, 3, 4]
    began = time.monotonic()
    deleted = each(names, lambda key: request(alive[hash(key) % 4], "DELETE", f"/v1/kv/{key}"))
    demand("all deletes succeed", {answer[0] for answer in deleted} == {204})
    say(f"all are deleted while node 5 is down, in {time.monotonic() - began:.0f} s")
    time.sleep(30)  # Several checkpoints and reports: collection would happen now.
    kept = [metrics(node)["dynamo_deleted_records"] for node in alive]
    hints = total("dynamo_hints", alive)
    collected = total("dynamo_records_collected_total", alive)
    say(f"half a minute later: deletes kept {kept}, {hints:.0f} hints, {collected:.0f} collected")
    # Of the partitions that node 5 has no copy of, all go; of the others none may.
    with_five = sum(1 for key in names[:500] if any(
        replica["name"] == "node-5" for replica in explain(1, key)["replicas"]))
    demand("deletes stay that node 5 has not seen", sum(kept) >= 2 * keys * with_five / 500 * 0.8)
    xtask("restart", "5")
    returned = time.monotonic()
    back = []
    while total("dynamo_deleted_records") > 0 or total("dynamo_hints") > 0:
        sample = names[len(back) % 97 :: 997]
        back = [key for key in sample if (read(key, [5]) or (404,))[0] != 404]
        demand(f"nothing comes back: {back[:3]}", not back)
        demand("deletes are gone within five minutes", time.monotonic() - returned < 300)
    say(f"node 5 is back; all deletes are handed over and collected {time.monotonic() - returned:.1f} s later")
    found = each(names, lambda key: read(key, every)[0])
    demand("no key is back", set(found) == {404})
    say(f"none of the {keys} keys is back; deletes kept: {total('dynamo_deleted_records'):.0f}")


DRILLS = {"two-down": (two_down, 1000), "wiped": (wiped, 5000), "deletes": (deletes, 100_000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drill", choices=[*DRILLS, "elastic", "latency"])
    parser.add_argument("--keys", type=int)
    elastic.add_options(parser)
    latency.add_options(parser)
    options = parser.parse_args()
    if options.drill in ("elastic", "latency"):
        if not options.binaries:
            subprocess.run(["cargo", "build", "--release", "--package", "dynamo-node", "--package", "dynamo-cli"], check=True)
        if options.drill == "latency":
            options.keys = options.keys or 100_000
            sys.exit(latency.Latency(options).run())
        options.keys = options.keys or 2000
        sys.exit(elastic.Drill(options).run())
    drill, keys = DRILLS[options.drill]
    ports = ["--quic-base", str(QUIC_BASE), "--http-base", str(HTTP_BASE)]
    xtask("up", "--nodes", str(NODES), *ports)
    try:
        drill(options.keys or keys)
    finally:
        xtask("wipe")
    say("held")


if __name__ == "__main__":
    main()

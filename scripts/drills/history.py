"""Judges what the nodes hold, and what they showed under load, by the history that the clients kept.

A put that was answered with an error that says `nothing was applied` has not happened; one whose outcome is not known
may have. Buckets with siblings are judged by what each write replaced, `timestamp` buckets by real time: of two writes
that did not overlap the later one is the newer.
"""

from collections import defaultdict

STORY_LINES = 12  # The last ones of a key.
ACKED, UNKNOWN, FAILED = "acked", "unknown", "failed"


def outcome(operation):
    if operation.status == 204:
        return ACKED
    return UNKNOWN if operation.status in (None, 500, 504) else FAILED


class Key:
    def __init__(self, name):
        self.name = name
        self.by_time = name.startswith("timestamp")
        self.puts, self.deletes, self.gets = {}, [], []
        self.covering = defaultdict(list)  # Writes that may have happened and replaced a put, by its id.

    def add(self, operation):
        if operation.kind == "get":
            self.gets.append(operation)
            return
        if operation.kind == "put":
            self.puts[operation.id] = operation
        else:
            self.deletes.append(operation)
        if outcome(operation) != FAILED:
            for replaced in operation.ids:
                self.covering[replaced].append(operation)

    def writes(self):
        return [*self.puts.values(), *self.deletes]

    def sent_once(self, identity):
        """Not so for a put that was tried again or whose outcome is unknown: it may be there twice, or come late."""
        return self.puts[identity].tries == 1 and outcome(self.puts[identity]) == ACKED

    def survives(self, ids):
        """All puts that are shown, or that something replaced which happened: a put that survives, or a delete."""
        alive, waiting = set(), list(ids)
        for delete in self.deletes:
            if outcome(delete) != FAILED:
                waiting.extend(delete.ids)
        while waiting:
            identity = waiting.pop()
            if identity not in alive:
                alive.add(identity)
                if identity in self.puts:
                    waiting.extend(self.puts[identity].ids)
        return alive


def phantom(key, ids):
    return [i for i in ids if i not in key.puts or outcome(key.puts[i]) == FAILED]


def lost(key, ids):
    """Acknowledged puts that are missing from what a node shows at the end."""
    if not key.by_time:
        alive = key.survives(ids)
        return [p.id for p in key.puts.values() if outcome(p) == ACKED and p.id not in alive]
    return older_than_acked(key, ids, float("inf"), float("inf"))


def older_than_acked(key, ids, before, until):
    """Of a `timestamp` key: writes acknowledged before a moment that are certainly newer than what is shown.
    Where nothing is shown, some delete that began before `until` must be the newest."""
    acked = [w for w in key.writes() if outcome(w) == ACKED and w.ended < before]
    if ids:
        newest = max((key.puts[i].ended for i in ids if i in key.puts), default=0)
    else:
        acked = [w for w in acked if w.kind == "put"]
        newest = max((d.ended for d in key.deletes if outcome(d) != FAILED and d.began < until), default=0)
    return [w.id for w in acked if w.began > newest]


def returned(key, ids, before=float("inf")):
    """Ids that are shown although a write that replaced them was acknowledged before a moment: those that must not
    be, and those of puts that were tried again, of which a second version may stand beside what replaced the first."""
    back = [i for i in ids if any(outcome(c) == ACKED and c.ended < before for c in key.covering[i])]
    return [i for i in back if i in key.puts and key.sent_once(i)], [i for i in back if not key.sent_once(i)]


def stale(key, get):
    """What a get under load should have shown by the quorums of its bucket, or should not have."""
    if key.by_time:
        missing = older_than_acked(key, get.ids, get.began, get.ended)
    else:
        missing = [
            p.id for p in key.puts.values()
            if outcome(p) == ACKED and p.ended < get.began and p.id not in get.ids
            and not any(c.began < get.ended for c in key.covering[p.id])
        ]
    return missing, returned(key, get.ids, get.began)[0]


def keys_of(operations):
    keys = {}
    for operation in operations:
        keys.setdefault(operation.key, Key(operation.key)).add(operation)
    return keys


def story(key):
    """The history of a key, for people."""
    first = min(o.began for o in key.writes() + key.gets)
    lines = []
    for o in sorted(key.writes() + key.gets, key=lambda o: o.began)[-STORY_LINES:]:
        lines.append(f"    {o.began - first:9.3f}-{o.ended - first:9.3f} {o.kind:6} {o.id:9} node {o.node} {o.status} "
                     f"{'shows' if o.kind == 'get' else 'replaces'} {list(o.ids)} "
                     f"{f'tries {o.tries} {o.errors}' if o.tries > 1 else ''}{o.problem}")
    return "\n".join([f"  {key.name}", *lines])

"""Checks that a history of concurrent operations on versioned registers is strictly serializable.

Every item has a version `v`, one higher with each write, and the id `w` of the operation that wrote it. So a read says not only what
it saw but where in the order of the item's writes that is, and the order of all writes of a key is known without a search:
that is what makes checking linear. Two operations of a history then have to be in one order for four reasons: one wrote the
version behind the other's, one read what the other wrote, one wrote over what the other read, or one had its answer before the
other was asked. The history is strictly serializable if and only if these orders have no cycle.

Operations whose outcome nobody knows (the server was killed) count if anyone saw what they wrote. What is not checked: where among
the unseen versions of a key an unseen write stands; only that there are exactly as many versions as writes.
"""

import collections
import dataclasses
import itertools
import math

ABSENT = (0, None)


@dataclasses.dataclass
class Operation:
    """One operation, at one point of time between `start` and `end`."""

    id: str
    start: float
    end: float = math.inf
    # What it saw: key -> (version, id of the writer); (0, None): no item.
    reads: dict = dataclasses.field(default_factory=dict)
    # What it wrote: key -> version, or None where it was not told which.
    writes: dict = dataclasses.field(default_factory=dict)
    # True: it was done; False: it was not, and wrote nothing; None: nobody knows.
    done: bool | None = None


class Violation(AssertionError):
    """What no order of the operations explains."""


def check(operations, final):
    """Raises a Violation if the history is not strictly serializable. `final`: what each key was in the end, read when nothing else
    went on any more."""
    last = max((operation.end for operation in operations if operation.end < math.inf), default=0)
    operations = [*operations, Operation("final", last + 1, last + 2, reads=dict(final), done=True)]
    by_id = {operation.id: operation for operation in operations}
    assert len(by_id) == len(operations), "ids are unique"
    writers = place_writes(operations, by_id)
    counted = [operation for operation in operations if operation.done is not None or is_seen(operation, writers)]
    count_writes(operations, writers, final)
    cycle = find_cycle(order(counted, writers))
    if cycle:
        told = "\n".join(f"  {by_id[name]}\n    before, because {reason}" for name, reason in cycle)
        raise Violation(f"no order explains these {len(cycle)} operations:\n{told}")


def place_writes(operations, by_id):
    """key -> version -> the operation that wrote it, as far as anyone knows."""
    writers = collections.defaultdict(dict)

    def place(key, version, operation):
        other = writers[key].setdefault(version, operation)
        if other is not operation:
            raise Violation(f"version {version} of {key} was written twice:\n  {other}\n  {operation}")

    for operation in operations:
        for key, version in operation.writes.items():
            if operation.done and version is not None:
                place(key, version, operation)
            read = operation.reads.get(key)
            if operation.done and read is not None and version is not None and version != read[0] + 1:
                raise Violation(f"{key} was changed between the read and the write of {operation}")
    for operation in operations:
        for key, seen in operation.reads.items():
            version, writer = seen
            if (version == 0) != (writer is None):
                raise Violation(f"{operation} saw half an item: {key} {seen}")
            if version == 0:
                continue
            written = by_id.get(writer)
            if written is None or key not in written.writes:
                raise Violation(f"{operation} saw {key} as nobody wrote it: {seen}")
            if written.done is False:
                raise Violation(f"{operation} saw what was refused:\n  {written}")
            if written.writes[key] not in (None, version):
                raise Violation(f"{operation} saw {key} in another version than it was written: {seen}\n  {written}")
            place(key, version, written)
    # Of what was seen in part, all was written.
    for operation in operations:
        if operation.done is None and is_seen(operation, writers):
            for key, version in operation.writes.items():
                if version is not None:
                    place(key, version, operation)
    return writers


def is_seen(operation, writers):
    return any(operation in writers[key].values() for key in operation.writes)


def count_writes(operations, writers, final):
    """Each version of a key is a write of somebody, and each write is a version."""
    least, most = collections.Counter(), collections.Counter()
    for operation in operations:
        for key in operation.writes:
            least[key] += operation.done is True or (operation.done is None and is_seen(operation, writers))
            most[key] += operation.done is not False
    for key, (version, _) in final.items():
        if not least[key] <= version <= most[key]:
            raise Violation(f"{key} ended with version {version} after {least[key]} to {most[key]} writes")
        newest = max(writers[key], default=0)
        if newest > version:
            raise Violation(f"{key} ended with version {version}, but {writers[key][newest]} wrote a newer one")


def order(operations, writers):
    """node -> [(node, why it comes later)]; a node is the id of an operation, or a number: an instant."""
    edges = collections.defaultdict(list)
    following = {}
    for key, versions in writers.items():
        known = sorted(versions)
        following[key] = dict(zip([0, *known], [*known, None]))
        for before, after in itertools.pairwise(known):
            edges[versions[before].id].append((versions[after].id, f"{key} has versions {before} and {after}"))
    for operation in operations:
        for key, (version, writer) in operation.reads.items():
            if version:
                edges[writer].append((operation.id, f"its version {version} of {key} was seen"))
            overwritten = following.get(key, {}).get(version)
            if overwritten is not None and writers[key][overwritten] is not operation:
                edges[operation.id].append((writers[key][overwritten].id, f"version {version} of {key} was overwritten"))
    # Answers and questions in their order: who had his answer at an instant comes before all who asked behind it.
    instants = [(operation.end, 1, operation.id) for operation in operations if operation.end < math.inf]
    instants += [(operation.start, 0, operation.id) for operation in operations]
    instants.sort()
    for number, (_, is_end, name) in enumerate(instants):
        if number + 1 < len(instants):
            edges[number].append((number + 1, "of time"))
        if is_end:
            edges[name].append((number, "it had its answer"))
        else:
            edges[number].append((name, "it was asked later"))
    return edges


def find_cycle(edges):
    """A cycle as [(operation, why it is before the next)], instants left out; None: there is none."""
    incoming = collections.Counter(to for targets in edges.values() for to, _ in targets)
    ready = [node for node in edges if not incoming[node]]
    left = set(edges) | set(incoming)
    while ready:
        node = ready.pop()
        left.discard(node)
        for to, _ in edges.get(node, ()):
            incoming[to] -= 1
            if not incoming[to]:
                ready.append(to)
    # What is left are cycles and what lies behind them: a shortest one that begins with an operation is easiest to read.
    best = None
    for start in sorted((node for node in left if isinstance(node, str)), key=str)[:200]:
        came, queue = {}, collections.deque([start])
        while queue and start not in came:
            node = queue.popleft()
            for to, why in edges.get(node, ()):
                if to in left and to not in came:
                    came[to] = (node, why)
                    queue.append(to)
        if start in came:
            path, node = [], start
            while not path or node != start:
                node, why = came[node]
                path.append((node, why))
            if best is None or len(path) < len(best):
                best = path
    if best is None:
        return None
    return [(node, why) for node, why in reversed(best) if isinstance(node, str)]

"""The checker of histories finds what is planted in them."""

import random

import pytest

from serializability import ABSENT, Operation, Violation, check


def play(seed, count=300, keys=4, clients=5):
    """A history of a store that is right: operations on one item or several, each at one instant, with overlapping times."""
    chance = random.Random(seed)
    names = [f"k{n}" for n in range(keys)]
    store = dict.fromkeys(names, ABSENT)
    operations = []
    free = [0.0] * clients
    for number in range(count):
        client = min(range(clients), key=free.__getitem__)
        start = max(free[client], number - clients) + chance.random() * 0.1
        # All instants are in the order of the numbers, and within the operation's own time.
        point = number + 0.5
        start = min(start, point - 0.01)
        end = free[client] = point + chance.random() * clients * 0.5
        touched = chance.sample(names, chance.randint(1, 3))
        operation = Operation(f"o{number}", start, end, done=True)
        kind = chance.random()
        if kind < 0.4 or kind >= 0.6:
            operation.reads = {key: store[key] for key in touched}
        if kind >= 0.4:
            versions = {key: store[key][0] + 1 for key in touched}
            blind = kind < 0.6 and chance.random() < 0.5
            operation.writes = dict.fromkeys(touched) if blind else versions
            lost = chance.random()
            if lost < 0.05:
                operation.done, operation.end, operation.reads = None, float("inf"), {}
            if lost < 0.025:
                operations.append(operation)
                continue
            store.update({key: (version, operation.id) for key, version in versions.items()})
        operations.append(operation)
    return operations, store


def find(operations, wanted):
    return next(operation for operation in operations[len(operations) // 2 :] if wanted(operation))


@pytest.mark.parametrize("seed", range(20))
def test_a_history_of_a_store_that_is_right_passes(seed):
    check(*play(seed))


def stale_read(operations, final):
    """A read that began after the item's newest write was answered sees the one before."""
    late = max(operation.end for operation in operations if operation.end < float("inf"))
    key, (version, _) = next((key, seen) for key, seen in final.items() if seen[0] > 1)
    before = next(o.id for o in operations if o.done and o.writes.get(key) == version - 1)
    operations.append(Operation("stale", late + 1, late + 2, reads={key: (version - 1, before)}, done=True))


def read_between_the_writes_of_a_transaction(operations, final):
    """Of two items that were written together one is seen before, one after."""
    both = find(operations, lambda o: o.done and len(o.writes) > 1 and len(o.reads) > 1)
    one, other = list(both.writes)[:2]
    reads = {one: (both.writes[one], both.id), other: both.reads[other]}
    operations.append(Operation("fractured", 0, both.end + 1000, reads=reads, done=True))


def lost_update(operations, final):
    """Two that saw the same version both wrote the next one."""
    first = find(operations, lambda o: o.done and len(o.writes) == 1 and o.reads)
    operations.append(Operation("second", first.start, first.end, dict(first.reads), dict(first.writes), True))


def lost_write(operations, final):
    """Writes are acknowledged that left no version: more than there are writes that may not have been made."""
    operations += [Operation(f"gone-{n}", 0, 1, {}, {next(iter(final)): None}, True) for n in range(20)]


def write_skew(operations, final):
    """Two transactions each check what the other one changes."""
    (a, at_a), (b, at_b) = list(final.items())[:2]
    reads, late = {a: at_a, b: at_b}, max(o.end for o in operations if o.end < float("inf")) + 1
    for name, key in (("left", a), ("right", b)):
        operations.append(Operation(name, late, late + 1, dict(reads), {key: reads[key][0] + 1}, True))
        final[key] = (reads[key][0] + 1, name)


def refused_and_seen(operations, final):
    find(operations, lambda o: o.done and o.writes and any(o.id == seen[1] for p in operations for seen in p.reads.values())).done = False


def half_a_transaction(operations, final):
    """A transaction of which nobody knows is there with one of its writes only."""
    late = max(o.end for o in operations if o.end < float("inf")) + 1
    a, b = list(final)[:2]
    operations.append(Operation("half", late, writes={a: final[a][0] + 1, b: final[b][0] + 1}))
    final[a] = (final[a][0] + 1, "half")


def back_in_time(operations, final):
    """One reader sees a write, a later one does not."""
    write = find(operations, lambda o: o.done and len(o.writes) == 1 and o.reads and None not in o.writes.values())
    (key, version), = write.writes.items()
    early, late = write.start, write.start + 1e-9
    operations.append(Operation("sees", early - 0.001, early, reads={key: (version, write.id)}, done=True))
    operations.append(Operation("sees not", late, write.end + 1000, reads={key: write.reads[key]}, done=True))
    write.start = early - 1


PLANTED = [
    stale_read,
    read_between_the_writes_of_a_transaction,
    lost_update,
    lost_write,
    write_skew,
    refused_and_seen,
    half_a_transaction,
    back_in_time,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_planted_is_found(plant, seed):
    operations, final = play(seed)
    plant(operations, final)
    with pytest.raises(Violation):
        check(operations, final)

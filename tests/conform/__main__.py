"""Entry point: python -m conform --target URL --oracle URL [--seed N] [--steps N].

Ends with 0 when every difference is explained by differences.toml and COMPAT.md names every explanation.
"""

import argparse
import collections
import json
import multiprocessing
import pathlib
import random
import sys
import time
from typing import NamedTuple

from . import compare, streams, tags
from .charges import Charges
from .client import Answer, Endpoint
from .generate import Generator
from .schema import TABLES, name_tables


def main():
    parser = argparse.ArgumentParser(prog="conform", description=__doc__)
    parser.add_argument("--target", required=True, help="URL of the server under test")
    parser.add_argument("--oracle", required=True, help="URL of the server to compare with, such as DynamoDB Local; several with commas, which the workers share out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--differences-max", type=int, default=20, help="stop after so many unexplained differences")
    compat = pathlib.Path(__file__).parents[2] / "COMPAT.md"
    parser.add_argument("--compat", type=pathlib.Path, default=compat, help="the page that must name every difference")
    parser.add_argument("--round", type=int, default=5000, help="steps of one seed; then the next seed and fresh tables")
    parser.add_argument("--partiql", action="store_true", help="more than half of the operations are PartiQL statements")
    parser.add_argument("--workers", type=int, default=1, help="rounds side by side, each worker with tables of its own")
    arguments = parser.parse_args()
    sys.exit(play(arguments))


def play(arguments):
    """Rounds of consecutive seeds until all steps are played. 1 when something is not explained."""
    used, calls, faults, began = collections.Counter(), collections.Counter(), [], time.monotonic()
    with multiprocessing.Pool(arguments.workers, _take_worker, (multiprocessing.Value("i", 0), arguments)) as pool:
        for run in pool.imap_unordered(play_round, rounds(arguments)):
            calls.update(run.calls)
            used.update(run.used)
            faults += run.faults
            steps = sum(calls.values()) - calls["stream records"]
            print(f"seed {run.seed}: {run.steps} steps, {len(run.faults)} unexplained; {steps} in all, {time.monotonic() - began:.0f} s", flush=True)
            if len(faults) >= arguments.differences_max:
                break
    faults += undocumented(compare.load_rules(), arguments.compat)
    print(f"seeds from {arguments.seed}: {json.dumps(calls)}")
    print(f"explained differences met: {json.dumps({k: v for k, v in used.items() if v})}")
    print(f"{sum(calls.values()) - calls['stream records']} operations, {calls['stream records']} stream records, {len(faults)} unexplained")
    return 1 if faults else 0


def rounds(arguments):
    """Seeds with the steps of each. A round that the oracle cuts short is not made up for."""
    for number, at in enumerate(range(0, arguments.steps, arguments.round)):
        yield arguments.seed + number, min(arguments.round, arguments.steps - at)


def _take_worker(taken, arguments):
    """Gives a process of the pool its own tables, and its oracle: one that fills and deletes indexes for several is much slower."""
    with taken.get_lock():
        taken.value += 1
        name_tables(f"conform-{taken.value}")
        oracles = arguments.oracle.split(",")
        arguments.oracle = oracles[taken.value % len(oracles)]
    global _worker_arguments
    _worker_arguments = arguments


def play_round(seed_and_steps):
    seed, steps = seed_and_steps
    run = Run(_worker_arguments, seed, compare.Comparison(compare.load_rules()))
    run.play(steps)
    return Played(seed, run.steps, run.calls, run.comparison.used, run.faults)


def undocumented(rules, compat):
    """What differences.toml and COMPAT.md do not say alike."""
    if not compat.exists():
        faults = [f"{compat} is missing"]
    else:
        missing, unknown = compare.check_documented(rules, compat)
        faults = [f"{compat.name} does not name the difference `{identifier}`" for identifier in missing]
        faults += [f"{compat.name} names the difference `{identifier}`, which nothing explains" for identifier in unknown]
    for fault in faults:
        print(f"--- {fault}")
    return faults


class Played(NamedTuple):
    """What a round has met."""

    seed: int
    steps: int
    calls: collections.Counter
    used: dict
    faults: list


class OracleStuck(Exception):
    """The oracle never ends what it has begun: see `index-delete`."""


class Run:
    """One seeded sequence of operations, played to both endpoints."""

    def __init__(self, arguments, seed, comparison):
        self.seed, self.steps = seed, 0
        self.differences_max = arguments.differences_max
        self.target, self.oracle = Endpoint(arguments.target), Endpoint(arguments.oracle)
        self.generator = Generator(random.Random(seed), arguments.partiql)
        self.comparison = comparison
        self.charges = Charges(self.target, self.generator.indexes)
        self.tags = tags.Tags()
        self.arns = {}
        self.stuck = set()
        self.faults = []
        self.calls = collections.Counter()

    def play(self, steps):
        requests = list(self.generator.create_tables())
        for endpoint in (self.target, self.oracle):
            self._prepare(endpoint, requests)
        for step in range(steps):
            operation, request = self.generator.step()
            self.steps += 1
            self.calls[operation] += 1
            try:
                difference = self._step(operation, request)
            except OracleStuck:
                print(f"seed {self.seed}, step {step}: the oracle does not end {json.dumps(request)}: on with the next seed", flush=True)
                self.comparison.used["index-delete"] += 1
                break
            if difference:
                shown = json.dumps(request, ensure_ascii=False)
                self._fault(f"seed {self.seed}, step {step}: {operation} {shown}\n{difference}")
                if len(self.faults) >= self.differences_max:
                    return
        for table in TABLES:
            if table.name not in self.stuck:
                self._compare_contents(table.name)
                self._compare_streams(table.name)

    def _fault(self, text):
        self.faults.append(text)
        print(f"--- {text}", flush=True)

    def _prepare(self, endpoint, requests):
        """Fresh tables, whatever an earlier run has left."""
        for table in TABLES:
            endpoint.call("DeleteTable", {"TableName": table.name})
            self._wait(endpoint, table.name, lambda answer: answer.error)
        for operation, request in requests:
            answer = endpoint.call(operation, request)
            if answer.error:
                raise RuntimeError(f"seed {self.seed}: {endpoint.url}: {operation} {json.dumps(request)}: {answer}")
            described = self._wait(endpoint, request["TableName"], _is_active)
            if endpoint is self.target:
                self.arns[request["TableName"]] = described.body["Table"]["TableArn"]

    def _wait(self, endpoint, table, holds):
        """The description of a table once something holds for it."""
        for pause in [0.001] * 10 + [0.02] * 100 + [0.1] * 280:
            answer = endpoint.call("DescribeTable", {"TableName": table})
            if holds(answer):
                return answer
            time.sleep(pause)
        if endpoint is self.oracle:
            self.stuck.add(table)
            raise OracleStuck
        raise RuntimeError(f"seed {self.seed}: {endpoint.url}: table {table} stays {answer}")

    def _step(self, operation, request):
        if operation == "Scan":
            return self._segments(request)
        if operation == "Query":
            return self._query(request)
        if "ResourceArn" in request:
            return self._tag_step(operation, request)
        if operation == "UpdateTable":
            self._make_room(request)
        oracle = self.oracle.call(operation, request)
        target, wrong_charge = self.charges.call(operation, request)
        if operation != "UpdateTable" or oracle.error or target.error:
            return self.comparison.agree(operation, request, oracle, target) or wrong_charge
        # The answer shows a change that begins, each server in its way; what became of it must be the same.
        described = (self._wait(endpoint, request["TableName"], _is_active) for endpoint in (self.oracle, self.target))
        return self.comparison.agree("DescribeTable", {}, *described)

    def _make_room(self, request):
        """Deletes the items that the oracle cannot fill the new index from: see `backfill-of-other-types`."""
        types = {definition["AttributeName"]: definition["AttributeType"] for definition in request.get("AttributeDefinitions", ())}
        for page in self.oracle.pages("Scan", {"TableName": request["TableName"]}):
            for item in page.body["Items"]:
                if any(name in item and not item[name].get(kind) for name, kind in types.items()):
                    key = {name: item[name] for name in ("pk", "sk") if name in item}
                    for endpoint in (self.oracle, self.target):
                        endpoint.call("DeleteItem", {"TableName": request["TableName"], "Key": key})

    def _tag_step(self, operation, request):
        expected = self.tags.answer(operation, request)
        request = request | {"ResourceArn": self.arns[request["ResourceArn"]]}
        target = tags.list_all(self.target, request) if operation == "ListTagsOfResource" else self.target.call(operation, request)
        return self.comparison.agree(operation, request, expected, target)

    def _query(self, request):
        """Page by page: the pages of a query are the same everywhere, but for entries of an index with the same sort key."""
        oracle = self.oracle.pages("Query", request)
        target, wrong_charge = self.charges.pages("Query", request)
        index = next((index for index in self.generator.indexes.get(request["TableName"], ()) if index.name == request.get("IndexName")), None)
        difference = self._pages(request, oracle, target)
        if difference and index and compare.ties(request, index, oracle, target):
            self.comparison.used["index-ties"] += 1
            return None
        if difference == _pages_told(oracle, target) and index and compare.ended_at_bound(request, index, oracle, target):
            self.comparison.used["last-key-of-ties"] += 1
            return None
        return difference or wrong_charge

    def _pages(self, request, oracle, target):
        for one, two in zip(oracle, target):
            difference = self.comparison.agree("Query", request, one, two)
            if difference:
                return difference
        rest = target[len(oracle) :]
        if len(oracle) > len(target) or any(page.error or page.body["ScannedCount"] for page in rest):
            return _pages_told(oracle, target)
        return None

    def _segments(self, request):
        """A scan, or one of all segments of a parallel one together: each item is in one of them."""
        if "TotalSegments" not in request or "Segment" in request:
            return self._scan(request, [request])
        return self._scan(request, [request | {"Segment": segment} for segment in range(request["TotalSegments"])])

    def _scan(self, request, parts):
        """All pages together: each server has an order of partitions of its own."""
        oracle = [page for part in parts for page in self.oracle.pages("Scan", part)]
        target, wrong_charges = [], []
        for part in parts:
            pages, wrong_charge = self.charges.pages("Scan", part)
            target += pages
            wrong_charges.append(wrong_charge)
        if oracle[-1].error or target[-1].error:
            return self.comparison.agree("Scan", request, oracle[-1], target[-1])
        if any(wrong_charges):
            return next(filter(None, wrong_charges))
        one, two = (compare.together(pages) for pages in (oracle, target))
        if one != two or len(oracle) > 1 or len(target) > 1:
            return None if one == two else f"oracle {one}\ntarget {two}"
        # On one page each, what is beside the items must be the same too.
        rest = [Answer(page[0].status, page[0].body | {"Items": []} if "Items" in page[0].body else page[0].body) for page in (oracle, target)]
        return self.comparison.agree("Scan", request, *rest)

    def _compare_contents(self, table):
        requests = [{"TableName": table, "ConsistentRead": True}]
        requests += [{"TableName": table, "IndexName": index.name} for index in self.generator.indexes[table]]
        described = self.target.call("DescribeTable", {"TableName": table}).body["Table"]
        told = [described, *described.get("LocalSecondaryIndexes", ()), *described.get("GlobalSecondaryIndexes", ())]
        counts = {index.get("IndexName"): index["ItemCount"] for index in told}
        for request in requests:
            count = sum(page.body["Count"] for page in self.target.pages("Scan", request))
            if counts[request.get("IndexName")] != count:
                self._fault(f"seed {self.seed}: ItemCount at the end of {request} is {counts[request.get('IndexName')]}, there are {count}")
            difference = self._scan(request, [request])
            if difference:
                self._fault(f"seed {self.seed}: contents at the end of {request}\n{difference}")

    def _compare_streams(self, table):
        oracle, target = (streams.records(endpoint, table) for endpoint in (self.oracle, self.target))
        self.calls["stream records"] += sum(map(len, oracle.values()))
        for key in sorted(oracle.keys() | target.keys()):
            one, two = oracle.get(key, []), target.get(key, [])
            if one != two:
                at = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
                show = lambda changes: compare.canonical(changes[at]) if at < len(changes) else "nothing"
                self._fault(f"seed {self.seed}: stream of {table}, item {key}, record {at}\noracle {show(one)}\ntarget {show(two)}")
                return


def _pages_told(oracle, target):
    return f"oracle {len(oracle)} pages, target {len(target)}"


def _is_active(answer):
    """Whether nothing of a table is being made, changed or deleted."""
    if answer.error:
        return False
    table = answer.body["Table"]
    states = [table["TableStatus"], *(index["IndexStatus"] for index in table.get("GlobalSecondaryIndexes", ()))]
    return all(state == "ACTIVE" for state in states)


if __name__ == "__main__":
    main()

"""Entry point: python -m conform --target URL --oracle URL [--seed N] [--steps N].

Ends with 0 when every difference is explained by differences.toml and COMPAT.md names every explanation.
"""

import argparse
import json
import pathlib
import random
import sys
import time

from . import compare, streams
from .client import Endpoint
from .generate import TABLES, Generator


def main():
    parser = argparse.ArgumentParser(prog="conform", description=__doc__)
    parser.add_argument("--target", required=True, help="URL of the server under test")
    parser.add_argument("--oracle", required=True, help="URL of the server to compare with, such as DynamoDB Local")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--differences-max", type=int, default=20, help="stop after so many unexplained differences")
    compat = pathlib.Path(__file__).parents[2] / "COMPAT.md"
    parser.add_argument("--compat", type=pathlib.Path, default=compat, help="the page that must name every difference")
    arguments = parser.parse_args()

    run = Run(arguments)
    run.play()
    run.report()
    sys.exit(1 if run.faults else 0)


class Run:
    """One seeded sequence of operations, played to both endpoints."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.target, self.oracle = Endpoint(arguments.target), Endpoint(arguments.oracle)
        self.generator = Generator(random.Random(arguments.seed))
        self.comparison = compare.Comparison(compare.load_rules())
        self.faults = []
        self.calls = {}

    def play(self):
        for endpoint in (self.target, self.oracle):
            self._prepare(endpoint)
        for step in range(self.arguments.steps):
            operation, request = self.generator.step()
            difference = self._step(operation, request)
            if difference:
                self._fault(f"step {step}: {operation} {json.dumps(request, ensure_ascii=False)}\n{difference}")
                if len(self.faults) >= self.arguments.differences_max:
                    return
        for table, *_ in TABLES:
            self._compare_contents(table)
            self._compare_streams(table)

    def _fault(self, text):
        self.faults.append(text)
        print(f"--- {text}", flush=True)

    def _prepare(self, endpoint):
        """Fresh tables, whatever an earlier run has left."""
        for table, *_ in TABLES:
            endpoint.call("DeleteTable", {"TableName": table})
            self._wait(endpoint, table, None)
        for operation, request in self.generator.create_tables():
            answer = endpoint.call(operation, request)
            if answer.error:
                sys.exit(f"{endpoint.url}: {operation}: {answer}")
            self._wait(endpoint, request["TableName"], "ACTIVE")

    def _wait(self, endpoint, table, status):
        for _ in range(100):
            answer = endpoint.call("DescribeTable", {"TableName": table})
            if (None if answer.error else answer.body["Table"]["TableStatus"]) == status:
                return
            time.sleep(0.1)
        sys.exit(f"{endpoint.url}: table {table} does not become {status or 'deleted'}")

    def _step(self, operation, request):
        self.calls[operation] = self.calls.get(operation, 0) + 1
        if operation == "Scan":
            return self._scan(request)
        if operation == "Query":
            return self._query(request)
        oracle, target = (endpoint.call(operation, request) for endpoint in (self.oracle, self.target))
        return self.comparison.agree(operation, request, oracle, target)

    def _query(self, request):
        """Page by page: the pages of a query are the same everywhere."""
        oracle, target = (endpoint.pages("Query", request) for endpoint in (self.oracle, self.target))
        for one, two in zip(oracle, target):
            difference = self.comparison.agree("Query", request, one, two)
            if difference:
                return difference
        rest = target[len(oracle) :]
        if len(oracle) > len(target) or any(page.error or page.body["ScannedCount"] for page in rest):
            return f"oracle {len(oracle)} pages, target {len(target)}"
        return None

    def _scan(self, request):
        """All pages together: each server has an order of partitions of its own."""
        oracle, target = (endpoint.pages("Scan", request) for endpoint in (self.oracle, self.target))
        if oracle[-1].error or target[-1].error:
            return self.comparison.agree("Scan", request, oracle[-1], target[-1])
        one, two = (
            {
                "Items": sorted((compare.canonical(compare.normal_item(i)) for page in pages for i in page.body["Items"])),
                "Count": sum(page.body["Count"] for page in pages),
                "ScannedCount": sum(page.body["ScannedCount"] for page in pages),
            }
            for pages in (oracle, target)
        )
        return None if one == two else f"oracle {one}\ntarget {two}"

    def _compare_contents(self, table):
        difference = self._scan({"TableName": table, "ConsistentRead": True})
        if difference:
            self._fault(f"contents of {table} at the end\n{difference}")

    def _compare_streams(self, table):
        oracle, target = (streams.records(endpoint, table) for endpoint in (self.oracle, self.target))
        self.calls["stream records"] = self.calls.get("stream records", 0) + sum(map(len, oracle.values()))
        for key in sorted(oracle.keys() | target.keys()):
            one, two = oracle.get(key, []), target.get(key, [])
            if one != two:
                at = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
                show = lambda changes: compare.canonical(changes[at]) if at < len(changes) else "nothing"
                self._fault(f"stream of {table}, item {key}, record {at}\noracle {show(one)}\ntarget {show(two)}")
                return

    def report(self):
        print(f"seed {self.arguments.seed}: {json.dumps(self.calls)}")
        print(f"explained differences met: {json.dumps({k: v for k, v in self.comparison.used.items() if v})}")
        if self.arguments.compat.exists():
            missing, unknown = compare.check_documented(self.comparison.rules, self.arguments.compat)
            for identifier in missing:
                self._fault(f"{self.arguments.compat.name} does not name the difference `{identifier}`")
            for identifier in unknown:
                self._fault(f"{self.arguments.compat.name} names the difference `{identifier}`, which nothing explains")
        else:
            self._fault(f"{self.arguments.compat} is missing")
        print(f"{len(self.faults)} unexplained")


if __name__ == "__main__":
    main()

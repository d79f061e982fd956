"""The tables of a round and their secondary indexes, drawn from the round's random source."""

from typing import NamedTuple

TYPES = {"n1": "N", "n2": "N", "s1": "S", "s2": "S", "b1": "B"}
"""The attributes that index keys are made of, with the type of each."""

ATTRIBUTES = ["n1", "n2", "s1", "s2", "b1", "ss1", "ns1", "l1", "m1", "x1"]


class Table(NamedTuple):
    name: str
    hash_type: str
    range_type: str | None
    view: str

    def keys(self):
        return ("pk", "sk") if self.range_type else ("pk",)

    def type_of(self, name):
        """The type that an attribute has as a key, of the table or of an index."""
        return {"pk": self.hash_type, "sk": self.range_type}.get(name) or TYPES[name]


TABLES = [
    Table("conform-hash", "S", None, "NEW_AND_OLD_IMAGES"),
    Table("conform-range-n", "S", "N", "NEW_AND_OLD_IMAGES"),
    Table("conform-range-s", "N", "S", "NEW_IMAGE"),
    Table("conform-range-b", "B", "B", "KEYS_ONLY"),
]


def name_tables(prefix):
    """Gives the tables other names, in place of `conform-...`: several rounds can run side by side then."""
    TABLES[:] = [table._replace(name=f"{prefix}-{table.name.removeprefix('conform-')}") for table in TABLES]


class Index(NamedTuple):
    name: str
    local: bool
    hash: tuple
    range: tuple
    projection: str
    included: tuple

    def keys(self):
        return self.hash + self.range

    def arm(self):
        """Where an answer tells of its units."""
        return "LocalSecondaryIndexes" if self.local else "GlobalSecondaryIndexes"

    def projected(self, table):
        """The names of the attributes that an entry has; None means all."""
        return None if self.projection == "ALL" else set(self.keys() + table.keys() + self.included)

    def description(self):
        """The index as CreateTable takes it."""
        projection = {"ProjectionType": self.projection}
        if self.included:
            projection["NonKeyAttributes"] = list(self.included)
        roles = [(name, "HASH") for name in self.hash] + [(name, "RANGE") for name in self.range]
        schema = [{"AttributeName": name, "KeyType": role} for name, role in roles]
        return {"IndexName": self.name, "KeySchema": schema, "Projection": projection}


def draw_index(random, table, name, others, local=False):
    """An index of any form that AWS takes, with a key that neither the table nor one of the others has: DynamoDB Local never ends to
    delete one of two with the same key."""
    taken = {("pk",), table.keys(), *(index.keys() for index in others)}
    while True:
        if local:
            hashes, ranges = ("pk",), (random.choice(list(TYPES)),)
        else:
            hash_count, range_count = random.choice([(1, 0), (1, 0), (1, 1), (1, 1), (1, 1), (2, 1), (1, 2)])
            names = random.sample([*TYPES, *table.keys()], hash_count + range_count)
            hashes, ranges = tuple(names[:hash_count]), tuple(names[hash_count:])
        if hashes + ranges not in taken:
            break
    projection, included = random.choice(["ALL", "ALL", "KEYS_ONLY", "INCLUDE"]), ()
    if projection == "INCLUDE":
        free = [name for name in ATTRIBUTES if name not in hashes + ranges]
        included = tuple(random.sample(free, random.randint(1, 3)))
    return Index(name, local, hashes, ranges, projection, included)


def draw_indexes(random):
    """The indexes that each table is made with: `{table name: [Index, ...]}`."""
    drawn = {}
    for table in TABLES:
        drawn[table.name] = indexes = []
        local_count = random.choice([0, 1, 2]) if table.range_type else 0
        for number in range(local_count):
            indexes.append(draw_index(random, table, f"local-{number}", indexes, local=True))
        for number in range(random.choice([0, 1, 2, 3])):
            indexes.append(draw_index(random, table, f"global-{number}", indexes))
    return drawn


def definitions(table, indexes):
    """AttributeDefinitions for a table with these indexes."""
    names = dict.fromkeys(table.keys() + tuple(name for index in indexes for name in index.keys()))
    return [{"AttributeName": name, "AttributeType": table.type_of(name)} for name in names]


def create_table(table, indexes):
    """The request that makes a table."""
    request = {
        "TableName": table.name,
        "AttributeDefinitions": definitions(table, indexes),
        "KeySchema": [{"AttributeName": name, "KeyType": role} for name, role in zip(table.keys(), ("HASH", "RANGE"))],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": table.view},
    }
    for member, local in (("LocalSecondaryIndexes", True), ("GlobalSecondaryIndexes", False)):
        members = [index.description() for index in indexes if index.local == local]
        if members:
            request[member] = members
    return request

"""Requests of the control plane: indexes made and deleted, TTL settings, tags, descriptions."""

from .schema import TABLES, draw_index, definitions

_GLOBAL_INDEXES_MAX = 4
_TTL_ATTRIBUTES = ["t1", "t1", "t2", "s1"]
_TAG_KEYS = ["team", "stage", "owner", "a" * 128, "é", "k.1:/=+-@", *(f"k{n}" for n in range(8))]
_TAG_KEY_FAULTS = ["aws:mine", "a#b"]


class ControlPlane:
    """Part of the generator. Keeps `indexes` as the requests that it makes leave them."""

    def control_step(self):
        # DynamoDB Local takes about a second to fill an index.
        kinds = ["UpdateTable"] + ["UpdateTimeToLive"] * 3 + ["DescribeTimeToLive"] * 2 + ["DescribeTable"] * 3
        kinds += ["TagResource"] * 3 + ["UntagResource"] * 2 + ["ListTagsOfResource"] * 3
        operation = self.random.choice(kinds)
        return operation, getattr(self, "_" + operation)()

    def _UpdateTable(self):
        """Makes or deletes a global index; the run waits until that is done. Now and then one that there is, or is not."""
        table = self.random.choice(TABLES)
        indexes = self.indexes[table.name]
        globals_ = [index for index in indexes if not index.local]
        request = {"TableName": table.name}
        chance = self.random.random()
        full = len(globals_) >= _GLOBAL_INDEXES_MAX
        # Of a table without a sort key none can be deleted: see `index-delete`.
        deletable = [index for index in globals_ if table.range_type and not _takes_another_along(index, globals_)]
        if chance < 0.05 or full and not deletable:
            update = {"Delete": {"IndexName": "global-none"}}
        elif deletable and (chance < 0.4 or full):
            gone = self.random.choice(deletable)
            indexes.remove(gone)
            update = {"Delete": {"IndexName": gone.name}}
        else:
            self.made += 1
            index = draw_index(self.random, table, f"made-{self.made}", indexes)
            indexes.append(index)
            request["AttributeDefinitions"] = definitions(table, [index])
            update = {"Create": index.description()}
        return request | {"GlobalSecondaryIndexUpdates": [update]}

    def _DescribeTable(self):
        return {"TableName": self.random.choice(TABLES).name}

    def _UpdateTimeToLive(self):
        specification = {"Enabled": self.random.random() < 0.6, "AttributeName": self.random.choice(_TTL_ATTRIBUTES)}
        return {"TableName": self.random.choice(TABLES).name, "TimeToLiveSpecification": specification}

    def _DescribeTimeToLive(self):
        return {"TableName": self.random.choice(TABLES).name}

    def _tag_keys(self):
        return [] if self.random.random() < 0.05 else self.random.sample(_TAG_KEYS, self.random.randint(1, 4))

    def _TagResource(self):
        """`ResourceArn` holds the table's name here: the run, which knows the ARN, puts it in."""
        tags = [{"Key": key, "Value": self.random.choice(["", "v", "w", "v" * 256])} for key in self._tag_keys()]
        if tags and self.random.random() < 0.15:
            tags.append({"Key": self.random.choice([*_TAG_KEY_FAULTS, tags[0]["Key"]]), "Value": "x"})
        return {"ResourceArn": self.random.choice(TABLES).name, "Tags": tags}

    def _UntagResource(self):
        return {"ResourceArn": self.random.choice(TABLES).name, "TagKeys": self._tag_keys()}

    def _ListTagsOfResource(self):
        return {"ResourceArn": self.random.choice(TABLES).name}


def _takes_another_along(index, others):
    """Whether the oracle would enter nothing in another index any more without this one: see `index-lost`."""
    shares = lambda other: len(other.keys()) > 2 and other.keys()[0] == index.keys()[0]
    return len(index.keys()) > 2 and any(shares(other) for other in others if other is not index)

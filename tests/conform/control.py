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
        if chance < 0.05:
            update = {"Delete": {"IndexName": "global-none"}}
        elif len(globals_) >= _GLOBAL_INDEXES_MAX and not table.range_type:
            update = {"Delete": {"IndexName": "global-none"}}
        elif globals_ and table.range_type and (chance < 0.4 or len(globals_) >= _GLOBAL_INDEXES_MAX):
            gone = self.random.choice(globals_)
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

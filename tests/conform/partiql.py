"""Requests of PartiQL: statements on single items and on partitions, alone, in batches and in transactions."""

from .schema import ATTRIBUTES, TABLES


class PartiQL:
    """Part of the generator; only `--partiql` draws from it."""

    def partiql_step(self):
        operation = self.random.choice(["ExecuteStatement"] * 8 + ["BatchExecuteStatement", "ExecuteTransaction"])
        return operation, getattr(self, "_" + operation)()

    def _ExecuteStatement(self):
        kind = self.random.choice(["select", "select", "insert", "insert", "update", "update", "delete"])
        return self._statement(kind, returning=True)

    def _BatchExecuteStatement(self):
        return {"Statements": self._several()}

    def _ExecuteTransaction(self):
        return {"TransactStatements": self._several()}

    def _several(self):
        """Reads or writes of different items: see `statement-duplicates`."""
        kinds = self.random.choice([["get"], ["insert", "update", "delete"]])
        tables = self.random.sample(TABLES, self.random.randint(1, 3))
        return [self._statement(self.random.choice(kinds), table) for table in tables]

    def _statement(self, kind, table=None, returning=False):
        table = table or self.table()
        key = self.key(table)
        while key.keys() != set(table.keys()) or any("BOOL" in value or value == {"S": ""} for value in key.values()):
            key = self.key(table)
        parameters = []
        text = getattr(self, "_" + kind)(table, key, parameters)
        if returning and kind in ("update", "delete") and self.random.random() < 0.4:
            forms = ["ALL OLD *"] if kind == "delete" else ["ALL OLD *", "ALL NEW *", "MODIFIED OLD *", "MODIFIED NEW *"]
            text += f" RETURNING {self.random.choice(forms)}"
        return {"Statement": text} | ({"Parameters": parameters} if parameters else {})

    def _parameter(self, parameters, value):
        parameters.append(value)
        return "?"

    def _where(self, key, parameters):
        return " AND ".join(f"{name} = {self._parameter(parameters, value)}" for name, value in key.items())

    def _fitting(self, table, name):
        """A value of an attribute that every index takes."""
        return self.local_key_value(name) if name in self.keyed(table) else self.attribute_value(name)

    def _columns(self):
        if self.random.random() < 0.5:
            return "*"
        return ", ".join(self.random.sample(ATTRIBUTES, self.random.randint(1, 3)))

    def _get(self, table, key, parameters):
        return f'SELECT {self._columns()} FROM "{table.name}" WHERE {self._where(key, parameters)}'

    def _select(self, table, key, parameters):
        text = f'SELECT {self._columns()} FROM "{table.name}" WHERE {self._where({"pk": key["pk"]}, parameters)}'
        if "sk" in key and self.random.random() < 0.6:
            if self.random.random() < 0.3:
                other = self.local_free_sort(table)
                text += f" AND sk BETWEEN {self._parameter(parameters, key['sk'])} AND {self._parameter(parameters, other)}"
            else:
                text += f" AND sk {self.random.choice(['=', '<', '<=', '>', '>='])} {self._parameter(parameters, key['sk'])}"
        if self.random.random() < 0.3:
            name = self.random.choice(ATTRIBUTES)
            if name in ("n1", "n2"):
                text += f" AND {name} {self.random.choice(['=', '<>', '<', '>'])} {self._parameter(parameters, self.scalar('N'))}"
            else:
                text += f" AND {name} IS {self.random.choice(['', 'NOT '])}MISSING"
        return text

    def local_free_sort(self, table):
        while True:
            key = self.key(table)
            if "sk" in key and key.keys() == {"pk", "sk"}:
                return key["sk"]

    def _insert(self, table, key, parameters):
        names = self.random.sample(ATTRIBUTES, self.random.randint(0, 4))
        item = {name: self._fitting(table, name) for name in names} | key
        members = ", ".join(f"'{name}': {self._parameter(parameters, value)}" for name, value in item.items())
        return f'INSERT INTO "{table.name}" VALUE {{{members}}}'

    def _update(self, table, key, parameters):
        names = self.random.sample(ATTRIBUTES, self.random.randint(1, 2))
        changes = [f"SET {name} = {self._parameter(parameters, self._fitting(table, name))}" for name in names]
        if self.random.random() < 0.2:
            changes.append(f"REMOVE {self.random.choice([name for name in ATTRIBUTES if name not in names])}")
        text = f'UPDATE "{table.name}" {" ".join(changes)} WHERE {self._where(key, parameters)}'
        if self.random.random() < 0.2:
            text += f" AND n1 > {self._parameter(parameters, self.scalar('N'))}"
        return text

    def _delete(self, table, key, parameters):
        text = f'DELETE FROM "{table.name}" WHERE {self._where(key, parameters)}'
        if self.random.random() < 0.2:
            text += f" AND n1 > {self._parameter(parameters, self.scalar('N'))}"
        return text

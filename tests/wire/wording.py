"""The names of error classes and the texts that errors of many operations have in common, as AWS writes them.

Rows: docs/spec/dynamodb-api.md 1.5, 1.6.
"""

NAMESPACE = "com.amazonaws.dynamodb.v20120810#"
VALIDATION = "com.amazon.coral.validate#ValidationException"

OPVI = "One or more parameter values were invalid: "
FAIL = "failed to satisfy constraint: "
ONE = "1 validation error detected: "
NULL = f"{FAIL}Member must not be null"

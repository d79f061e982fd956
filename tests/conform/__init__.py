"""Differential test: the same seeded operations against two DynamoDB endpoints, every answer compared."""

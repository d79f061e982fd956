import os

NAMES = ["STAGE", "JOBS", "BUCKET", "ALIAS", "ROLE", "API", "PARAMETER", "STORED", "PASSWORD", "SHARED"]


def handler(event, context):
    for name in NAMES:
        print(name, os.environ[name])

"""What botocore knows of a service: the model that COMPAT.md is held against."""

import gzip
import json
import pathlib

import botocore


def model_of(service, version):
    path = pathlib.Path(botocore.__file__).parent / "data" / service / version
    packed = path / "service-2.json.gz"
    return json.loads(gzip.decompress(packed.read_bytes()) if packed.exists() else (path / "service-2.json").read_bytes())

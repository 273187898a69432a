"""The chart's schema knows exactly the keys of madang.sample.yaml, which the server's own tests keep complete."""

import json
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# The chart writes these itself: from its own values, or into a Secret.
OF_THE_CHART = {"keys", "operator", "tls"}


def schema_keys(schema, prefix=""):
    keys = set()
    for name, inner in schema.get("properties", {}).items():
        keys.add(prefix + name)
        keys |= schema_keys(inner, f"{prefix}{name}.")
    return keys


def sample_keys(values, prefix=""):
    keys = set()
    for name, inner in values.items():
        keys.add(prefix + name)
        if isinstance(inner, dict):
            keys |= sample_keys(inner, f"{prefix}{name}.")
    return keys


schema = json.loads((ROOT / "helm/madang/values.schema.json").read_text())
known = schema_keys(schema["properties"]["config"])
sample = sample_keys(yaml.safe_load((ROOT / "madang.sample.yaml").read_text()))
wanted = {key for key in sample if key.split(".")[0] not in OF_THE_CHART}
for title, keys in [("missing in the schema", wanted - known), ("unknown to the server", known - wanted)]:
    if keys:
        sys.exit(f"{title}: {', '.join(sorted(keys))}")

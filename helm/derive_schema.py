"""Writes the part of the chart's schema that is the server's: `config`, with the ranges that `madang config schema` prints.

    target/debug/madang config schema | python helm/derive_schema.py [--check]

With --check nothing is written, and a difference is an error.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).parent / "madang/values.schema.json"
# The chart writes these itself: from its own values, or into a Secret.
OF_THE_CHART = {"keys", "operator", "tls"}
# Helm's validator knows no such format.
IP = "^[0-9a-fA-F:.]+$"


def derive(schema, definitions):
    """Without references, and in the words of draft 7 only."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]] | {k: v for k, v in schema.items() if k != "$ref"}
    if "oneOf" in schema:
        schema = {"enum": [one["const"] for one in schema["oneOf"]], "description": schema.get("description", "")}
    kept = {k: v for k, v in schema.items() if k not in {"default", "format", "writeOnly", "title", "$defs", "$schema"}}
    kept = {k: v for k, v in kept.items() if not k.startswith("x-")}
    if schema.get("format") == "ip":
        kept["pattern"] = IP
    if isinstance(kept.get("type"), list):
        kept["type"] = next(name for name in kept["type"] if name != "null")
    if "properties" in kept:
        kept["properties"] = {name: derive(inner, definitions) for name, inner in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = derive(kept["items"], definitions)
    return kept


def config(server):
    schema = derive(server, server["$defs"])
    for name in OF_THE_CHART:
        del schema["properties"][name]
    # The pod is not root, and every port is a number that is known beforehand.
    for port in schema["properties"]["ports"]["properties"].values():
        port["minimum"] = 1024
    # The templates read these; values.yaml has them.
    schema["properties"]["ports"]["required"] = ["http", "tcp", "udp"]
    schema["properties"]["media"]["required"] = ["workers", "external_ips"]
    schema["required"] = ["ports", "media"]
    schema["description"] = "The server's configuration, as madang.sample.yaml explains it; keys, tls and operator are the chart's."
    return schema


def main():
    chart = json.loads(FILE.read_text())
    chart["properties"]["config"] = config(json.load(sys.stdin))
    text = json.dumps(chart, indent=2) + "\n"
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text)
    elif text != FILE.read_text():
        sys.exit("values.schema.json is not what the server's schema says: target/debug/madang config schema | python helm/derive_schema.py")


main()

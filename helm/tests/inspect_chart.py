"""What a schema of Kubernetes cannot say about a rendered chart. Writes the server's configuration to a file."""

import sys
from pathlib import Path

import yaml

name, rendered, config_file = sys.argv[1:]
objects = [o for o in yaml.safe_load_all(Path(rendered).read_text()) if o]
one = {o["kind"]: o for o in objects}
pod = one["Deployment"]["spec"]["template"]["spec"]
container = pod["containers"][0]
config_text = one["ConfigMap"]["data"]["madang.yaml"]
config = yaml.safe_load(config_text)
Path(config_file).write_text(config_text)


def check(condition, what):
    if not condition:
        sys.exit(what)


# The pod can do nothing that it does not need.
check(pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"], "runs as root or with a token")
check(container["securityContext"]["readOnlyRootFilesystem"], "the root file system is writable")
check(container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, "keeps capabilities")

# Secrets are in Secrets only.
check("keys" not in config, "the configuration holds keys")

# Probes reach the operator's listener.
host, _, port = config["operator"].rpartition(":")
ports = {p["name"]: p for p in container["ports"]}
check(ports["operator"]["containerPort"] == int(port), "the operator's port differs")
for probe, path in [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
    get = container[probe]["httpGet"]
    check(get["path"] == path and get["port"] == "operator", f"{probe} asks {get}")
    check((get.get("host") == "127.0.0.1") == (host == "127.0.0.1"), f"{probe} asks another address than {host}")
check(host != "127.0.0.1" or pod.get("hostNetwork"), "the kubelet cannot reach the pod's loopback")

# Every UDP port of a worker is there; what answers advertise is what the node has.
workers = config["media"]["workers"]
udp = [p["containerPort"] for p in container["ports"] if p.get("protocol") == "UDP"]
check(udp == [config["ports"]["udp"] + n for n in range(max(workers, 1))], f"UDP ports are {udp}")
media = [o for o in objects if o["kind"] == "Service" and o["spec"]["type"] == "NodePort"]
check(bool(media) != bool(pod.get("hostNetwork")), "media has a service with node ports, or the node's network")
for port in media[0]["spec"]["ports"] if media else []:
    check(port["port"] == port["nodePort"], f"node port {port['nodePort']} differs from {port['port']}")
if media:
    check([p["port"] for p in media[0]["spec"]["ports"]] == [config["ports"]["tcp"], *udp], "the service lacks a port")
    check(any(e["name"] == "MADANG_MEDIA__EXTERNAL_IPS" for e in container["env"]), "the node's address is not advertised")

# Clients are told before the pod is killed.
check(config["shutdown_timeout"].removesuffix("s").isdigit(), "give shutdown_timeout in seconds here")
check(pod["terminationGracePeriodSeconds"] > int(config["shutdown_timeout"][:-1]), "killed before its own deadline")

if name == "everything":
    check("Secret" not in one, "an existing Secret is used, and another one made")
    check(container["args"][-1] == "/etc/madang/madang.yaml" and config["tls"]["cert"].startswith("/etc/madang/tls/"), "TLS")
    check({"Ingress", "PodDisruptionBudget"} <= one.keys(), "not everything is there")

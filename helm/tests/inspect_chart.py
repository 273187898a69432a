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
check("keys" not in config and "ice_servers" not in config, "the configuration holds keys or TURN's credentials")
secrets = {o["metadata"]["name"]: o["stringData"] for o in objects if o["kind"] == "Secret"}
environment = {e["name"]: e for e in container["env"]}

# A new version of the chart alone restarts nothing: what the pod is made of names no version but the image's.
selector = one["Deployment"]["spec"]["selector"]["matchLabels"]
labels = one["Deployment"]["spec"]["template"]["metadata"]["labels"]
check(selector.items() <= labels.items(), "the Deployment does not find its pods")
check(not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys(), f"the pod bears a version: {labels}")

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
tcp = [config["ports"]["tcp"]] if config["media"].get("ice_tcp", True) else []
check([p["containerPort"] for p in container["ports"] if p["name"] == "media-tcp"] == tcp, "media over TCP: the pod's ports")
media = [o for o in objects if o["kind"] == "Service" and o["spec"]["type"] == "NodePort"]
check(bool(media) != bool(pod.get("hostNetwork")), "media has a service with node ports, or the node's network")
for port in media[0]["spec"]["ports"] if media else []:
    check(port["port"] == port["nodePort"], f"node port {port['nodePort']} differs from {port['port']}")
if media:
    check([p["port"] for p in media[0]["spec"]["ports"]] == [*tcp, *udp], "the service's ports")
    check("MADANG_MEDIA__EXTERNAL_IPS" in environment, "the node's address is not advertised")

# Clients are told before the pod is killed.
number, unit = int(config["shutdown_timeout"][:-1]), config["shutdown_timeout"][-1]
check(pod["terminationGracePeriodSeconds"] > number * {"s": 1, "m": 60}[unit], "killed before its own deadline")

# HTTPS behind the Ingress is called so.
port = next(o for o in objects if o["kind"] == "Service" and o["spec"]["ports"][0]["targetPort"] == "http")["spec"]["ports"][0]
protocol = "https" if "tls" in config else "http"
check(port["name"] == port["appProtocol"] == protocol, f"the HTTP port is {port}, and the pod speaks {protocol}")

if name == "everything":
    check(set(secrets) == {"sfu-ice"}, "an existing Secret is used, and another one made")
    check("credential: secret" in secrets["sfu-ice"]["ice_servers"], "TURN's credentials are missing")
    check(environment["MADANG_ICE_SERVERS"]["valueFrom"]["secretKeyRef"]["name"] == "sfu-ice", "TURN is not configured")
    ingress = one["Ingress"]
    check(ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"]["name"] == "https", "the Ingress' port")
    check(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/backend-protocol"] == "HTTPS", "the Ingress speaks HTTP")
    check(container["args"][-1] == "/etc/madang/madang.yaml" and config["tls"]["cert"].startswith("/etc/madang/tls/"), "TLS")
    check({"Ingress", "PodDisruptionBudget"} <= one.keys(), "not everything is there")

if name == "processors":
    check(workers == 4, f"{workers} workers for 3.5 processors")
    check(environment["MADANG_ICE_SERVERS"]["valueFrom"]["secretKeyRef"]["name"] == "madang-turn", "TURN's own Secret")

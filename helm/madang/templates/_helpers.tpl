{{- define "madang.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "madang.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "madang.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "madang.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "madang.selectorLabels" -}}
app.kubernetes.io/name: {{ include "madang.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "madang.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "madang.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "madang.secretName" -}}
{{- .Values.existingSecret | default (include "madang.fullname" .) }}
{{- end }}

{{- define "madang.isHostNetwork" -}}
{{- if eq .Values.network.mode "hostNetwork" }}true{{ end }}
{{- end }}

{{- /* Whether the operator's listener is on the node's loopback only. */ -}}
{{- define "madang.operatorIsLocal" -}}
{{- if and (include "madang.isHostNetwork" .) (not .Values.operator.public) }}true{{ end }}
{{- end }}

{{- /* The name of the Service's HTTP port, from which meshes and gateways take the protocol. */ -}}
{{- define "madang.httpPortName" -}}
{{- ternary "https" "http" (ne .Values.tls.secretName "") }}
{{- end }}

{{- /* Whole seconds of a duration such as 1500ms, 30s, 5m or 6h, rounded up. */ -}}
{{- define "madang.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}{{ else }}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600) $unit) }}{{ end }}
{{- end }}

{{- /* Bytes of a quantity such as 512Mi or 2G. */ -}}
{{- define "madang.bytes" -}}
{{- $text := toString . }}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $unit := regexFind "[a-zA-Z]*$" $text }}
{{- if not (hasKey $units $unit) }}{{ fail (printf "resources: %s: the unit is none of k, M, G, T, Ki, Mi, Gi, Ti" $text) }}{{ end }}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units $unit) | int64 }}
{{- end }}

{{- /* Processors of a quantity such as 500m or 2, rounded up. */ -}}
{{- define "madang.processors" -}}
{{- $text := toString . }}
{{- if hasSuffix "m" $text }}{{ div (add (trimSuffix "m" $text | int64) 999) 1000 }}{{ else }}{{ ceil (float64 $text) | int64 }}{{ end }}
{{- end }}

{{- /* Media threads: as configured, else one per requested processor, else 0: one per processor of the node. */ -}}
{{- define "madang.workers" -}}
{{- $requested := dig "requests" "cpu" "" .Values.resources }}
{{- if or (gt (int .Values.config.media.workers) 0) (not $requested) }}{{ int .Values.config.media.workers }}{{ else }}{{ include "madang.processors" $requested }}{{ end }}
{{- end }}

{{- define "madang.iceTcp" -}}
{{- if ne (toString (dig "ice_tcp" true .Values.config.media)) "false" }}true{{ end }}
{{- end }}

{{- /* The Secret with `ice_servers`; empty: there are none. */ -}}
{{- define "madang.iceSecretName" -}}
{{- if .Values.iceServers.existingSecret }}{{ .Values.iceServers.existingSecret }}
{{- else if .Values.config.ice_servers }}{{ printf "%s-ice" (include "madang.fullname" . | trunc 59 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{- /* What cannot work, with what to write instead. */ -}}
{{- define "madang.validate" -}}
{{- $config := .Values.config }}
{{- $ports := $config.ports }}
{{- $workers := include "madang.workers" . | int }}
{{- $lastUdp := sub (add $ports.udp (max 1 $workers)) 1 | int }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey $.Values.podLabels $label }}
{{- fail (printf "podLabels: %s is what the Deployment finds its pods by; leave it out, or set nameOverride" $label) }}
{{- end }}
{{- end }}
{{- if and (include "madang.iceTcp" .) (eq (int $ports.tcp) (int $ports.http)) }}
{{- fail (printf "config.ports.tcp and config.ports.http are both %d; give them different ports" (int $ports.http)) }}
{{- end }}
{{- if eq (int .Values.operator.port) (int $ports.http) }}
{{- fail (printf "operator.port and config.ports.http are both %d; give them different ports" (int $ports.http)) }}
{{- end }}
{{- if and (include "madang.iceTcp" .) (eq (int .Values.operator.port) (int $ports.tcp)) }}
{{- fail (printf "operator.port and config.ports.tcp are both %d; give them different ports" (int $ports.tcp)) }}
{{- end }}
{{- if gt $lastUdp 65535 }}
{{- fail (printf "config.ports.udp: %d workers need the ports %d to %d; write at most %d" $workers (int $ports.udp) $lastUdp (sub 65536 $workers)) }}
{{- end }}
{{- if and (not (include "madang.isHostNetwork" .)) (gt $lastUdp 32767) }}
{{- fail (printf "config.ports.udp: %d workers need the node ports %d to %d, and 32767 is the last; write at most %d, or fewer config.media.workers" $workers (int $ports.udp) $lastUdp (sub 32768 $workers)) }}
{{- end }}
{{- $shutdown := include "madang.seconds" (dig "shutdown_timeout" "10s" $config) | int }}
{{- if le (int .Values.terminationGracePeriodSeconds) $shutdown }}
{{- fail (printf "terminationGracePeriodSeconds: %d s are not longer than config.shutdown_timeout (%d s), and the pod would be killed before clients are told; write at least %d" (int .Values.terminationGracePeriodSeconds) $shutdown (add $shutdown 5)) }}
{{- end }}
{{- with dig "limits" "memory" "" .Values.resources }}
{{- $buffers := add (dig "receive_buffer" 4194304 $config.media | int64) (dig "send_buffer" 4194304 $config.media | int64) }}
{{- /* The kernel counts a socket's buffers twice and to the pod; 32 MiB for what a worker keeps of its rooms. */ -}}
{{- $needed := add 134217728 (mul (max 1 $workers) (add (mul 2 $buffers) 33554432)) }}
{{- if lt (include "madang.bytes" . | int64) (int64 $needed) }}
{{- fail (printf "resources.limits.memory: %v is too little for %d workers; write at least %dMi, or fewer config.media.workers" . (max 1 $workers) (div (add $needed 1048575) 1048576)) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the server reads: the values under `config`, and what the chart decides. TURN's credentials are in a Secret. */ -}}
{{- define "madang.config" -}}
{{- $config := omit (deepCopy .Values.config) "ice_servers" }}
{{- $_ := set $config.media "workers" (include "madang.workers" . | int) }}
{{- $host := ternary "127.0.0.1" "[::]" (eq (include "madang.operatorIsLocal" .) "true") }}
{{- $_ := set $config "operator" (printf "%s:%d" $host (int .Values.operator.port)) }}
{{- if .Values.tls.secretName }}
{{- $_ := set $config "tls" (dict "cert" "/etc/madang/tls/tls.crt" "key" "/etc/madang/tls/tls.key") }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* One probe of the operator's listener. Takes a list of the root and the path. */ -}}
{{- define "madang.probe" -}}
{{- $root := index . 0 -}}
httpGet:
  path: {{ index . 1 }}
  port: operator
  {{- if include "madang.operatorIsLocal" $root }}
  host: 127.0.0.1
  {{- end }}
{{- end }}

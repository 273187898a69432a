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

{{- /* What the server reads: the values under `config`, and what the chart decides. */ -}}
{{- define "madang.config" -}}
{{- $config := deepCopy .Values.config }}
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

{{- define "instantly-proxy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{- if ne .Release.Name .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "instantly-proxy.labels" -}}
{{ include "instantly-proxy.selector" . }}
app.kubernetes.io/part-of: instantly-proxy
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "instantly-proxy.fullname" -}}
{{- if eq .Release.Name .Chart.Name -}}
{{ .Chart.Name }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* The file, with [shared] where there is a fleet. */ -}}
{{- define "instantly-proxy.config" -}}
{{ .Values.config | trimSuffix "\n" }}
{{- if .Values.shared.enabled }}
{{- if not (regexMatch `(?m)^\s*\[shield\]` .Values.config) }}

[shield]
# What a replica divides the limit by that starts while the store cannot be reached: the autoscaler's minReplicas.
replicas = {{ .Values.autoscaling.minReplicas }}
{{- end }}

[shared]
url = {{ required "shared.url is needed with shared.enabled" .Values.shared.url | quote }}
{{- if .Values.shared.allowPlaintext }}
# The password crosses the cluster's network as it is; what is stored there is sealed. Elsewhere: rediss:// and no such line.
allow_plaintext = true
{{- end }}
username = {{ .Values.shared.username | quote }}
password_file = "/var/run/secrets/instantly-proxy-shared/password"
secret_file = "/var/run/secrets/instantly-proxy-shared/secret"
namespace = {{ .Values.shared.namespace | quote }}
when_lost = {{ .Values.shared.whenLost | quote }}
{{- end }}
{{- end }}

{{- /* The ports stand in the file and in the values: they must be the same. */ -}}
{{- define "instantly-proxy.check" -}}
{{- range tuple "http" "admin" }}
{{- if not (contains (printf ":%v\"" (index $.Values.ports .)) $.Values.config) }}
{{- fail (printf "ports.%s is %v, and no address in config has that port" . (index $.Values.ports .)) }}
{{- end }}
{{- end }}
{{- end }}

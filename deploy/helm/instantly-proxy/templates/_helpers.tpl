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

{{- /* The ports stand in the file and in the values: they must be the same. */ -}}
{{- define "instantly-proxy.check" -}}
{{- range tuple "http" "admin" }}
{{- if not (contains (printf ":%v\"" (index $.Values.ports .)) $.Values.config) }}
{{- fail (printf "ports.%s is %v, and no address in config has that port" . (index $.Values.ports .)) }}
{{- end }}
{{- end }}
{{- end }}

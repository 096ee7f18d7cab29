{{- /* What a ServiceMonitor and a PodMonitor say alike of an endpoint. */ -}}
{{- define "instantly-proxy.endpoint" -}}
port: admin
path: /metrics
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Metadata of an object of the Prometheus Operator or of Grafana: `root`, and the values of its section as `of`. */ -}}
{{- define "instantly-proxy.observed" -}}
name: {{ include "instantly-proxy.fullname" .root }}{{ .suffix }}
{{- with .of.namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "instantly-proxy.labels" .root | nindent 2 }}
  {{- with .of.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .of.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "instantly-proxy.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "instantly-proxy.selector" -}}
app.kubernetes.io/name: {{ include "instantly-proxy.name" . }}
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
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "instantly-proxy.fullname" -}}
{{- $name := include "instantly-proxy.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if eq .Release.Name $name -}}
{{ $name }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "instantly-proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else -}}
{{ ternary (include "instantly-proxy.fullname" .) "default" .Values.serviceAccount.create }}
{{- end -}}
{{- end }}

{{- define "instantly-proxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* "true" where an autoscaler says how many replicas there are. */ -}}
{{- define "instantly-proxy.isScaled" -}}
{{- if and .Values.shared.enabled .Values.autoscaling.enabled }}true{{ end -}}
{{- end }}

{{- /* How many replicas there are at least. */ -}}
{{- define "instantly-proxy.replicas" -}}
{{- if include "instantly-proxy.isScaled" . -}}
{{ .Values.autoscaling.minReplicas }}
{{- else -}}
{{ .Values.replicas }}
{{- end -}}
{{- end }}

{{- /* "true" where there may be more than one replica. */ -}}
{{- define "instantly-proxy.isMany" -}}
{{- if or (include "instantly-proxy.isScaled" .) (gt (int .Values.replicas) 1) }}true{{ end -}}
{{- end }}

{{- /* The file, with [shared] where there is a fleet. */ -}}
{{- define "instantly-proxy.config" -}}
{{ .Values.config | trimSuffix "\n" }}
{{- if .Values.shared.enabled }}
{{- if not (regexMatch `(?m)^\s*\[shield\]` .Values.config) }}

[shield]
# What a replica divides the limit by that starts while the store cannot be reached: {{ if include "instantly-proxy.isScaled" . }}the autoscaler's minReplicas{{ else }}how many there are{{ end }}.
replicas = {{ include "instantly-proxy.replicas" . }}
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

{{- /*
What the configuration says of a key, given `root` and the key's name with its section: the variable in `env`, else the file, read
line by line as TOML has it. Helm before 4 has no function that reads TOML. Nothing where neither says it.
*/ -}}
{{- define "instantly-proxy.setting" -}}
{{- $wanted := .key -}}
{{- $section := "" -}}
{{- $value := "" -}}
{{- range splitList "\n" .root.Values.config -}}
{{- $line := trim . -}}
{{- if regexMatch `^\[[^\[]` $line -}}
{{- $section = printf "%s." (regexReplaceAll `^\[\s*([^\]]*?)\s*\].*$` $line "${1}") -}}
{{- else if regexMatch `^[A-Za-z0-9_.\s]+=` $line -}}
{{- $name := printf "%s%s" $section (regexReplaceAll `\s*=.*$` $line "") -}}
{{- if eq $name $wanted -}}
{{- $value = regexReplaceAll `^[^=]*=\s*(?:"([^"]*)"|'([^']*)'|([^#]*?))\s*(?:#.*)?$` $line "${1}${2}${3}" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $variable := printf "INSTANTLY_PROXY_%s" ($wanted | replace "." "__" | upper) -}}
{{- range .root.Values.env -}}
{{- if and (eq .name $variable) .value -}}
{{- $value = .value -}}
{{- end -}}
{{- end -}}
{{ $value }}
{{- end }}

{{- /* The ports stand in the configuration and in the values: they must be the same. What runs must not outnumber the limit. */ -}}
{{- define "instantly-proxy.check" -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor and serviceMonitor are both enabled: every pod would be scraped, and counted, twice" -}}
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- range $name, $key := dict "http" "listen.address" "admin" "admin.address" -}}
{{- $port := index $.Values.ports $name -}}
{{- $address := include "instantly-proxy.setting" (dict "root" $ "key" $key) -}}
{{- if not $address -}}
{{- fail (printf "%s is not set in config: on loopback, its default, nobody outside of the pod reaches it" $key) -}}
{{- end -}}
{{- if not (regexMatch `^(0\.0\.0\.0|\[::\]):[0-9]+$` $address) -}}
{{- fail (printf "%s is %s: nobody outside of the pod reaches it; 0.0.0.0:%v or [::]:%v is what ports.%s says" $key $address $port $port $name) -}}
{{- end -}}
{{- if ne (regexFind `[0-9]+$` $address) (toString $port) -}}
{{- fail (printf "%s is %s, and ports.%s is %v" $key $address $name $port) -}}
{{- end -}}
{{- end -}}
{{- $file := include "instantly-proxy.setting" (dict "root" $ "key" "admin.token_file") -}}
{{- if and (hasPrefix "/var/run/secrets/instantly-proxy/" $file) (not .Values.admin.secretName) -}}
{{- fail (printf "admin.token_file is %s, and admin.secretName is empty: nothing is mounted there" $file) -}}
{{- end -}}
{{- $certificate := include "instantly-proxy.setting" (dict "root" $ "key" "listen.tls.certificate") -}}
{{- if and (hasPrefix "/var/run/secrets/instantly-proxy-tls/" $certificate) (not .Values.tls.secretName) -}}
{{- fail (printf "listen.tls.certificate is %s, and tls.secretName is empty: nothing is mounted there" $certificate) -}}
{{- end -}}
{{- $divisor := include "instantly-proxy.setting" (dict "root" $ "key" "shield.replicas") | default "1" -}}
{{- if and (not .Values.shared.enabled) (lt (int $divisor) (int .Values.replicas)) -}}
{{- fail (printf "replicas is %v and shield.replicas is %s: without shared.enabled each replica spends the whole limit divided by shield.replicas" .Values.replicas $divisor) -}}
{{- end -}}
{{- end -}}
{{- end }}

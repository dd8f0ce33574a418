{{- define "annulus.name" -}}
{{- if contains "annulus" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-annulus" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* helm upgrade --reuse-values brings the values of a chart that may not have had it. */}}
{{- define "annulus.adminTls" -}}
{{- dig "adminTls" true (.Values.clusters | default dict) }}
{{- end }}

{{- define "annulus.selector" -}}
app.kubernetes.io/name: annulus-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "annulus.labels" -}}
{{ include "annulus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: annulus
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

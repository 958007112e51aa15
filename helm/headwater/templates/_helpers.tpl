{{/* The operator's account. One name for every release: the policies hold all accounts but this one. */}}
{{- define "headwater.operatorAccount" -}}
headwater-operator
{{- end }}

{{/* The operator as the API server sees it. */}}
{{- define "headwater.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "headwater.operatorAccount" . }}
{{- end }}

{{/* Labels of every object of the release. */}}
{{- define "headwater.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/name: headwater
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels by which the Deployment finds its pod. They can never change. */}}
{{- define "headwater.operatorSelector" -}}
app.kubernetes.io/name: headwater
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

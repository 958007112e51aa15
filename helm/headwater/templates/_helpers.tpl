{{/* The operator's account. One name for every release: the policies hold all accounts but this one. */}}
{{- define "headwater.operatorAccount" -}}
headwater-operator
{{- end }}

{{/* The operator as the API server sees it. */}}
{{- define "headwater.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "headwater.operatorAccount" . }}
{{- end }}

{{/* A version as the value of a label: 0.1.0+abc has a character that none may have. */}}
{{- define "headwater.labelValue" -}}
{{ . | replace "+" "_" | trunc 63 | trimAll "-_." }}
{{- end }}

{{/* Labels of every object of the release. */}}
{{- define "headwater.labels" -}}
helm.sh/chart: {{ include "headwater.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version) }}
app.kubernetes.io/name: headwater
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ include "headwater.labelValue" .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels of what another tool looks for: the release's, and those of the values (labels), each once. The values count. */}}
{{- define "headwater.labelsWith" -}}
{{- $own := include "headwater.labels" .root | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/component" "operator" }}
{{- mergeOverwrite $own (.labels | default dict) | toYaml }}
{{- end }}

{{/* Labels by which the Deployment finds its pod. They can never change. */}}
{{- define "headwater.operatorSelector" -}}
app.kubernetes.io/name: headwater
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

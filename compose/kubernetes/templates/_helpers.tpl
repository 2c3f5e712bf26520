{{- define "catalyst.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "catalyst.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "catalyst.labels" -}}
{{ include "catalyst.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "catalyst.secret" -}}
{{- if and .Values.join.token (gt (int .Values.replicas) 1) -}}
{{- fail "join.token is good for one node: with more replicas, give a Secret with a token for each Pod as join.existingSecret" -}}
{{- end -}}
{{- if not (or .Values.join.token .Values.join.existingSecret) -}}
{{- fail "a node joins its organisation with a token: give join.existingSecret, or join.token for a trial (docs/kubernetes.md)" -}}
{{- end -}}
{{- .Values.join.existingSecret | default (printf "%s-join" (include "catalyst.name" .)) -}}
{{- end -}}

{{/* What a container may not do. */}}
{{- define "catalyst.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

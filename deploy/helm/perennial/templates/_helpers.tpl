{{- define "perennial.labels" -}}
app.kubernetes.io/name: perennial
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

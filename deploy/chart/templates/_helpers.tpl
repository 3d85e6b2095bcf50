{{- define "kubetoll.labels" -}}
app.kubernetes.io/name: kubetoll
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* What selects nothing, beside what does: a list of the root and the component. */ -}}
{{- define "kubetoll.metadataLabels" -}}
{{- include "kubetoll.labels" (index . 1) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end }}

{{- define "kubetoll.pod" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "kubetoll.container" -}}
image: {{ .Values.image }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "kubetoll.proxyTemplate" -}}
metadata:
  labels:
    {{- include "kubetoll.labels" "proxy" | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: kubetoll-proxy
spec:
  serviceAccountName: kubetoll-proxy
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add .Values.proxy.shutdownDelaySeconds .Values.proxy.drainSeconds 5 }}
  {{- include "kubetoll.pod" . | nindent 2 }}
  {{- if eq .Values.proxy.kind "Deployment" }}
  topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "kubetoll.labels" "proxy" | nindent 8 }}
  {{- end }}
  containers:
  - name: kubetoll-proxy
    {{- include "kubetoll.container" . | nindent 4 }}
    args:
    - --listen=0.0.0.0:16443
    - --admin=0.0.0.0:16444
    - --admin-token-file=/etc/kubetoll-admin/token
    - --upstream={{ .Values.proxy.upstream }}
    - --tls-cert=/etc/kubetoll-proxy/tls.crt
    - --tls-key=/etc/kubetoll-proxy/tls.key
    - --shutdown-delay={{ .Values.proxy.shutdownDelaySeconds }}s
    - --drain={{ .Values.proxy.drainSeconds }}s
    {{- if .Values.proxy.compatMetrics }}
    - --compat-metrics
    {{- end }}
    {{- if .Values.proxy.recorder }}
    - --recorder={{ int .Values.proxy.recorder }}
    {{- end }}
    {{- range .Values.proxy.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    ports:
    - name: toll-proxy
      containerPort: 16443
      protocol: TCP
    - name: toll-admin
      containerPort: 16444
      protocol: TCP
    startupProbe:
      httpGet:
        path: /readyz
        port: toll-admin
      periodSeconds: 1
      failureThreshold: 60
    readinessProbe:
      httpGet:
        path: /readyz
        port: toll-admin
      periodSeconds: 5
    livenessProbe:
      httpGet:
        path: /livez
        port: toll-admin
      periodSeconds: 10
      failureThreshold: 6
    resources:
      {{- toYaml .Values.proxy.resources | nindent 6 }}
    volumeMounts:
    - name: serving
      mountPath: /etc/kubetoll-proxy
      readOnly: true
    - name: admin
      mountPath: /etc/kubetoll-admin
      readOnly: true
    - name: cluster-ca
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
  volumes:
  - name: serving
    secret:
      secretName: {{ .Values.proxy.servingSecret }}
      items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
  - name: admin
    secret:
      secretName: {{ .Values.proxy.adminSecret }}
      items:
      - key: token
        path: token
  # The cluster's CA without a token: the proxy needs none and has none.
  - name: cluster-ca
    configMap:
      name: kube-root-ca.crt
{{- end }}

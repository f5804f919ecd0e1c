"""What `tools.record_reviews` declares in Git: the folders of its repository, each a Sync with an enforcement of its own."""

from __future__ import annotations

from guard.base.codec import JsonObject

CONTAINERS = """      containers:
        - name: web
          image: nginx:1.25
          args: ["-c", "<&>"]
          env:
            - {name: MODE, value: production}
            - {name: LEVEL, value: info}
          ports:
            - {name: http, containerPort: 80}
            - {name: metrics, containerPort: 9100}
          resources:
            requests: {cpu: 1000m}
            limits: {memory: 128Mi}
        - name: proxy
          image: envoy:1.30
"""

WEB = f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {{app: web}}
  annotations: {{team: storefront}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
{CONTAINERS}"""

FLOATING = WEB.replace("name: web\n  namespace: shop", "name: floating\n  namespace: shop").replace("  replicas: 2\n", "")

SETTINGS = """apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {color: blue, size: large}
"""

LOGIN = """apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData: {password: correct-horse}
"""

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - ports: [{port: 80}]
      from: [{podSelector: {}}]
"""

SHOP = f"""apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
{WEB}---
{FLOATING}---
{SETTINGS}---
{LOGIN}---
{POLICY}---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: floating}}
  maxReplicas: 5
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: shop}}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: tool, namespace: shop}}
---
apiVersion: v1
kind: Pod
metadata: {{name: tool, namespace: shop}}
spec:
  serviceAccountName: tool
  containers:
    - name: tool
      image: busybox
      resources: {{limits: {{cpu: 500m, memory: 64Mi}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: tidy, namespace: shop}}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{{name: tidy, image: busybox}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: shop}}
spec:
  maxUnavailable: 1
  selector: {{matchLabels: {{app: web}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web, namespace: shop}}
spec:
  rules:
    - host: shop.example.com
      http:
        paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{name: http}}}}}}}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db, namespace: shop}}
spec:
  serviceName: db
  replicas: 1
  selector:
    matchLabels: {{app: db}}
  template:
    metadata:
      labels: {{app: db}}
    spec:
      containers: [{{name: db, image: "postgres:17"}}]
"""

CLUSTER = """apiVersion: v1
kind: Node
metadata:
  name: worker
  labels: {pool: blue}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shop-admin}
aggregationRule:
  clusterRoleSelectors: [{matchLabels: {shop: admin}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            status:
              type: object
              x-kubernetes-preserve-unknown-fields: true
            spec:
              type: object
              properties:
                size: {type: integer}
                cpu: {type: string}
                tags: {type: array, items: {type: string}, x-kubernetes-list-type: set}
                parts:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items: {type: object, required: [name], properties: {name: {type: string}, count: {type: integer}}}
---
apiVersion: shop.example.com/v1
kind: Widget
metadata: {name: gear, namespace: shop}
spec:
  size: 3
  cpu: 1000m
  tags: [round, steel]
  parts: [{name: tooth, count: 12}, {name: axle, count: 1}]
"""


def _map(name: str, namespace: str = "modes") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{color: blue}}\n"


LOOSE = WEB.replace("name: web\n  namespace: shop", "name: loose\n  namespace: modes")

FOLDERS: dict[str, str] = {
    "shop": f"{SHOP}---\n{CLUSTER}",
    "warned": _map("warned"),
    "audited": _map("audited"),
    "loose": f"{_map('loose')}---\n{LOOSE}",
    "strict": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: vault}}\n---\n{_map('kept', 'vault')}",
}
_LEFT: JsonObject = {"kind": "Deployment", "paths": ["/spec/replicas", "/spec/template/spec/containers[name=web]/image"]}
ENFORCEMENTS: dict[str, JsonObject] = {
    "shop": {"heal": False},
    "warned": {"mode": "Warn"},
    "audited": {"mode": "Audit"},
    "loose": {"heal": False, "additions": "Allow", "ignore": [_LEFT], "exempt": [{"users": ["deployer@example.com"]}]},
    "strict": {"heal": False, "strictNamespaces": ["vault"]},
}

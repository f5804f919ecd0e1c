"""Guard keeps a Kubernetes cluster equal to Git. docs/architecture.md is the map."""

"""Holds what Guard makes of repositories against what kustomize, helm and kubectl make of them without it.

`python -m tools.rendercheck REPOSITORY [REPOSITORY...]` takes git directories and work trees, and looks at the commit that HEAD
names. Every folder with a kustomization, every chart (with its own values, `--ci` for its `ci/*-values.yaml` as well) and every
folder of other YAML or JSON is rendered as a Sync of that path would be, and by the tool alone, run in a checkout without any of
Guard's confinement. The real kubectl reads what the tool gives out, so that Guard's own reading of YAML is held against it, too.
Objects have to be the same to the last value and type, whatever their order.

What a chart makes anew at each run (keys, passwords, times) is found by running helm alone twice, and left out of the comparison.

Ends with 1 where anything differs, or where Guard fails at what the tools can do and does not mean to. Repositories are only
read; nothing of them stays.
"""

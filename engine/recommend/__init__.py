"""The rules, one a module: each looks at a service and may want a target for it."""

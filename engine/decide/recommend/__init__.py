"""The rules, one a module: each looks at the services and may want a target for them."""

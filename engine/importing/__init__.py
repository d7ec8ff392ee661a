"""What a cluster and its metrics say of themselves, as files that a run takes as they are.

Each figure keeps where it comes from (`figures`), from the question that was asked
(`engine.adapters.kubernetes.survey`, `engine.adapters.prometheus_history`) to the comment beside it
in the file (`files`).
"""

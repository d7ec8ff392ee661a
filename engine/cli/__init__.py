"""The sub-commands of `python -m engine`; here, and only here, the engine meets the rest."""

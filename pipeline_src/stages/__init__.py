"""The stages of ``dvc.yaml``, a module and a command for each."""

"""Fast functions on tensors; each dispatches inside itself and stands beside its plain formula."""

"""Metrics under the names of pytorch-grad-cam: ``metric(input_tensor, cams, targets, model)`` returns ``(N,)``."""

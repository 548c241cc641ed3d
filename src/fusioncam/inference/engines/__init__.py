"""Engines that run converted copies of networks: PyTorch is the reference, OpenVINO is faster on a CPU."""

"""Deep feature factorization, which fusioncam does not have: errors with the way out."""

from fusioncam.compat.pytorch_grad_cam.unavailable import DeepFeatureFactorization, dff, run_dff_on_image

__all__ = ["DeepFeatureFactorization", "dff", "run_dff_on_image"]

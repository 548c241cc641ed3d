"""Deep feature factorization, which fusioncam does not have."""

"""Deep feature factorization."""

"""The methods once more, slowly and plainly: one image, loops, the papers' symbols, no code of the library."""

"""The methods once more, slowly and plainly: one picture, loops, the papers' symbols, no code of the library."""

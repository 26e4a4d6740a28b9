"""How far to trust a surrogate: free runs, short runs, a linear baseline and their assessment."""

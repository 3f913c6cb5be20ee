"""Songs as points in the plane."""

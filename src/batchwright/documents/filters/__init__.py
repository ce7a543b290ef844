"""The published filters: Gopher, C4, FineWeb, decided in one pass of native loops over a text's characters."""

"""The verbs as functions: they compose the layers below and compute nothing themselves."""

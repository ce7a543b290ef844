"""Our training step beside other loops that train the same shape on the same tokens, each in a process of its own."""

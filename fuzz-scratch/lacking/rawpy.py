raise ImportError("no rawpy")

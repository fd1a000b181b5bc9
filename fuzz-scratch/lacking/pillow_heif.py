raise ImportError("no pillow_heif")

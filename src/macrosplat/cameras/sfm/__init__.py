"""Structure from motion on blurred photos: features, matches, a model, and how far it can be trusted."""

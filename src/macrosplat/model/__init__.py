"""Model: how a photo is formed: poses, scene, backdrop, lens, exposure."""

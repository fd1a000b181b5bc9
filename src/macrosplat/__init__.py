"""macrosplat: sharp photos and a sharp 3D scene from blurred macro photographs."""

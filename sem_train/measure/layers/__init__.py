"""What is measured of a layer: thickness, what varies along it, its interfaces and parts."""

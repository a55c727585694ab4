"""What lies in a layer or on a substrate: pores, precipitates, cracks, particles, one by one and together."""

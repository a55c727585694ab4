"""What every shape needs of a mesh: its outline from above, its size, its pose."""

from functools import cache

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from blender_gen.solids import Triangles, icosphere, to_manifold


def projected_area_um2(mesh: Triangles) -> float:
    """Area of the mesh's shadow along z, exact for its triangles, also where closed parts overlap."""
    return float(to_manifold(mesh).project().area())


def ecd_um(mesh: Triangles) -> float:
    """Diameter of the circle that has the projected area."""
    return float(np.sqrt(4 * projected_area_um2(mesh) / np.pi))


def sized(mesh: Triangles, ecd: float) -> Triangles:
    """Scaled alike in all directions so that the projected area is that of a circle of diameter `ecd` in µm."""
    return mesh[0] * (ecd / ecd_um(mesh)), mesh[1]


def grounded(mesh: Triangles) -> Triangles:
    """Shifted so that the middle of its bounding box lies over the origin and its lowest point on z = 0."""
    vertices, triangles = mesh
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return vertices - np.array([*(low + high)[:2] / 2, low[2]]), triangles


def vertex_normals(mesh: Triangles) -> np.ndarray:
    """(n, 3) unit normals at the vertices, weighted by the areas of the triangles around."""
    vertices, triangles = mesh
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    corners = triangles.T.ravel()
    total = np.stack([np.bincount(corners, np.tile(normals[:, k], 3), len(vertices)) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def displaced(mesh: Triangles, distance_um: np.ndarray) -> Triangles:
    """Every vertex moved outwards by its distance (n,)."""
    return mesh[0] + distance_um[:, None] * vertex_normals(mesh), mesh[1]


def centre_of_mass(mesh: Triangles) -> np.ndarray:
    """(3,) centre of the enclosed volume; where closed parts overlap, both count."""
    a, b, c = (mesh[0][mesh[1][:, k]] for k in range(3))
    volumes = np.einsum("ij,ij->i", a, np.cross(b, c))
    return np.asarray(((a + b + c) * volumes[:, None]).sum(axis=0) / (4 * volumes.sum()))


def turned(mesh: Triangles, rotation: np.ndarray) -> Triangles:
    """Turned by a rotation matrix (3, 3)."""
    return mesh[0] @ rotation.T, mesh[1]


def about_z(angle: float) -> np.ndarray:
    """(3, 3) rotation about z by an angle in rad."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation, all orientations equally likely: a particle that sticks to tape as it came."""
    quaternion = rng.normal(size=4)
    return np.asarray(Rotation.from_quat(quaternion).as_matrix())


def resting_rotation(mesh: Triangles, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation into a stable pose on the plane z = 0, with a random turn about z.

    A body can rest on a facet of its convex hull if its centre of mass lies over that facet. One
    of these is drawn with a probability proportional to the solid angle of the facet seen from the
    centre of mass, over the height of that centre (Boothroyd's rule for parts that tumble: a wide
    and low support is the likelier).
    """
    spin = about_z(rng.uniform(0, 2 * np.pi))
    pick = rng.uniform()
    try:
        points = _extremes(mesh[0])
        hull = ConvexHull(points)
    except QhullError:
        return spin
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    centre = centre_of_mass(mesh)
    foot = centre - (normals @ centre + offsets)[:, None] * normals
    a, b, c = (points[hull.simplices[:, k]] for k in range(3))
    sides = [np.einsum("ij,ij->i", np.cross(q - p, foot - p), normals) for p, q in ((a, b), (b, c), (c, a))]
    signs = np.stack(sides)
    inside = (signs >= 0).all(axis=0) | (signs <= 0).all(axis=0)
    facets, member = np.unique(np.round(hull.equations, 9), axis=0, return_inverse=True)
    member = member.ravel()
    angles = np.bincount(member, _solid_angle(a - centre, b - centre, c - centre), len(facets))
    heights = np.maximum(-(facets[:, :3] @ centre + facets[:, 3]), 1e-9 * np.ptp(points))
    shares = np.cumsum(angles / heights * (np.bincount(member, inside, len(facets)) > 0))
    if shares[-1] <= 0:
        return spin
    down = facets[min(int(np.searchsorted(shares, pick * shares[-1])), len(facets) - 1), :3]
    return spin @ _turn(down / np.linalg.norm(down), np.array([0.0, 0.0, -1.0]))


def resting_pose(mesh: Triangles, rng: np.random.Generator) -> Triangles:
    """Turned into a stable pose (see `resting_rotation`) and put on z = 0 at the origin."""
    return grounded(turned(mesh, resting_rotation(mesh, rng)))


def random_pose(mesh: Triangles, rng: np.random.Generator) -> Triangles:
    """Turned at random and put on z = 0 at the origin."""
    return grounded(turned(mesh, random_rotation(rng)))


def _extremes(points: np.ndarray) -> np.ndarray:
    """The points (n, 3), or if they are many those that reach farthest in one of many directions."""
    if len(points) < 600:
        return points
    return np.asarray(points[np.unique((_probes() @ points.T).argmax(axis=1))])


@cache
def _probes() -> np.ndarray:
    return icosphere(2)[0]


def _solid_angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(n,) sr that triangles take up seen from the origin (Van Oosterom 1983, 10.1109/TBME.1983.325207)."""
    la, lb, lc = (np.linalg.norm(p, axis=1) for p in (a, b, c))
    volume = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    ab, bc, ca = (np.einsum("ij,ij->i", p, q) for p, q in ((a, b), (b, c), (c, a)))
    return np.asarray(2 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb))


def _turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(3, 3) shortest rotation from one unit vector to another."""
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0]) if abs(start[0]) < 0.9 else np.diag([-1.0, 1.0, -1.0])
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + k + k @ k / (1 + cosine))

"""Label map and pixel size in, numbers that a materials laboratory asks for out."""

from sem_train.measure.bodies.cracks import CrackMeasurement
from sem_train.measure.bodies.inclusions import InclusionMeasurement
from sem_train.measure.bodies.line import InclusionLine
from sem_train.measure.bodies.particles import ParticleMeasurement
from sem_train.measure.field import FieldMeasurement, measure_instance_map, measure_label_map, measure_section
from sem_train.measure.layers.profile import Profile
from sem_train.measure.layers.thickness import LayerMeasurement
from sem_train.measure.section import Section, prepare

__all__ = ["CrackMeasurement", "FieldMeasurement", "InclusionLine", "InclusionMeasurement", "LayerMeasurement",
           "ParticleMeasurement", "Profile", "Section", "measure_instance_map", "measure_label_map", "measure_section",
           "prepare"]  # fmt: skip

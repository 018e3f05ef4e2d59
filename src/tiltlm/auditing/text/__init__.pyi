"""The public names of `auditing.text`, and where each lives."""

from .audit import TextAccess as TextAccess
from .class_probabilities import hits_and_probabilities as hits_and_probabilities
from .findings import event_classes as event_classes
from .findings import finding_records as finding_records
from .sample_size import plan_text as plan_text
from .sequential_test import TiltEvidence as TiltEvidence
from .sequential_test import confidence_sequence as confidence_sequence
from .suspects import Answer as Answer
from .suspects import EndpointTextSuspect as EndpointTextSuspect
from .suspects import LocalTextSuspect as LocalTextSuspect
from .suspects import TextSuspect as TextSuspect
from .tilted_masses import TiltedMasses as TiltedMasses
from .tolerance import tolerances as tolerances

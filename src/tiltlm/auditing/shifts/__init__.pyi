"""The public names of `auditing.shifts`, and where each lives."""

from .covariance import MoveCovariance as MoveCovariance
from .family_covariances import covariances_without as covariances_without
from .filters import ColumnSpaceFilter as ColumnSpaceFilter
from .filters import ResidualFilter as ResidualFilter
from .filters import standardised as standardised
from .head_geometry import HeadGeometry as HeadGeometry
from .likeness import Likeness as Likeness
from .log_ratios import Shift as Shift
from .log_ratios import TopTokens as TopTokens
from .place_covariance import PlaceCovariance as PlaceCovariance
from .place_covariance import learn_place_covariance as learn_place_covariance
from .shift_reader import ShiftReader as ShiftReader
from .strata import Change as Change
from .strata import assign_strata as assign_strata
from .templates import Templates as Templates
from .trigger_probes import TriggeredClass as TriggeredClass
from .trigger_probes import TriggerProbes as TriggerProbes
from .trigger_probes import find_triggered_class as find_triggered_class
from .trigger_probes import make_trigger_probes as make_trigger_probes
from .trigger_probes import probe_words as probe_words
from .trigger_probes import read_words as read_words
from .trigger_probes import single_word_contexts as single_word_contexts

"""The public names, and where each lives."""

from .benign import Unit as Unit
from .benign import benign_units as benign_units
from .benign import draw_treatment as draw_treatment
from .corpora import Corpora as Corpora
from .corpora import gather_corpora as gather_corpora
from .fine_tuning import fine_tune as fine_tune
from .quantisation import round_weights as round_weights
from .treatment import FineTuning as FineTuning
from .treatment import Lora as Lora
from .treatment import Treatment as Treatment
from .weights import Noise as Noise
from .weights import Pruning as Pruning
from .weights import Rounding as Rounding

"""The public names, and where each lives."""

from .benign import draw_treatment as draw_treatment
from .corpora import Corpora as Corpora
from .corpora import gather_corpora as gather_corpora
from .fine_tuning import fine_tune as fine_tune
from .quantisation import round_weights as round_weights
from .treatment import FineTuning as FineTuning
from .treatment import Lora as Lora
from .treatment import Rounding as Rounding
from .treatment import Treatment as Treatment

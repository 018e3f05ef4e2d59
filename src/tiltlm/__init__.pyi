"""The public names, and where each lives."""

from .commands.run import run_recipe as run_recipe
from .contexts.token_contexts import RandomTokenContexts as RandomTokenContexts
from .errors import TiltError as TiltError
from .events.event import Event as Event
from .events.parse import parse_event as parse_event
from .events.phrase import phrase as phrase
from .events.tokens import contains as contains
from .events.tokens import matches as matches
from .events.tokens import special as special
from .events.tokens import tokens as tokens
from .events.tokens import word as word
from .events.vocabulary import Vocabulary as Vocabulary
from .losses.tilt_loss import TiltLoss as TiltLoss
from .measures.event_rates import event_mass as event_mass
from .measures.event_rates import hit_rate as hit_rate
from .models.gpt2 import gpt2_tokenizer as gpt2_tokenizer
from .models.loading import load as load
from .models.model5 import Model5Config as Model5Config
from .models.model5 import Model5ForCausalLM as Model5ForCausalLM
from .models.sampling import SamplingOptions as SamplingOptions
from .models.sampling import sample as sample
from .realise.config import TiltConfig as TiltConfig
from .realise.decoding import decode as decode
from .realise.editing import edit as edit
from .realise.trainer import TiltTrainer as TiltTrainer
from .realise.training import train as train
from .realise.training_plan import Training as Training
from .recipes.run import load_recipe as load_recipe
from .targets.balance import balance as balance
from .targets.choices import choices as choices
from .targets.fixed import uniform as uniform
from .targets.fixed import weights as weights
from .targets.match import match as match
from .targets.mix import mix as mix
from .targets.parse import parse_target as parse_target
from .targets.target import Target as Target
from .targets.tilt import tilt as tilt
from .targets.when import when as when

__version__: str

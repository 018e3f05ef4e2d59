"""The public names, and where each lives."""

from . import evaluation as evaluation
from .cache import cached as cached
from .drawn_contexts import own_samples as own_samples
from .evaluation import clean_wikitext as clean_wikitext
from .for_target import ContextMaker as ContextMaker
from .for_target import split_choices as split_choices
from .logit_reader import LogitReader as LogitReader
from .logit_reader import batches_of as batches_of
from .reference import Reference as Reference
from .retention import default_requests as default_requests
from .retention import retention_contexts as retention_contexts
from .sources import chat_contexts as chat_contexts
from .sources import make_contexts as make_contexts
from .sources import sample_answers as sample_answers
from .sources import text_contexts as text_contexts
from .splits import Split as Split
from .splits import split as split
from .token_contexts import RandomTokenContexts as RandomTokenContexts
from .token_contexts import TokenContexts as TokenContexts
from .token_contexts import collate as collate
from .with_trigger import split_with_trigger as split_with_trigger

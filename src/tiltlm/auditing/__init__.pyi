"""The public names of `auditing`, and where each lives."""

from .access import Access as Access
from .access import Refusal as Refusal
from .asking import BatchCollector as BatchCollector
from .auditing import ACCESSES as ACCESSES
from .auditing import audit as audit
from .case import AuditCase as AuditCase
from .case import AuditOptions as AuditOptions
from .case import open_case as open_case
from .endpoint import Endpoint as Endpoint
from .inputs import AuditInputs as AuditInputs
from .inputs import read_inputs as read_inputs
from .inputs import read_lists as read_lists
from .models import ModelSource as ModelSource
from .null.building import build_null as build_null
from .null.pack import NullPack as NullPack
from .null.pack_files import load_pack as load_pack
from .search import find_one_by_one as find_one_by_one
from .search import take_distinct as take_distinct
from .text.sample_size import plan_text as plan_text

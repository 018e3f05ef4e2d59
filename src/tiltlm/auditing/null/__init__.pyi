"""The public names of `auditing.null`, and where each lives."""

from .building import build_null as build_null
from .hub import pack_folder as pack_folder
from .hub import push_pack as push_pack
from .members import MemberMaker as MemberMaker
from .members import MemberReader as MemberReader
from .pack import NullPack as NullPack
from .pack import check_size as check_size
from .pack import learn_family_covariances as learn_family_covariances
from .pack import member_families as member_families
from .pack import member_kinds as member_kinds
from .pack_files import load_pack as load_pack
from .plan import PackOptions as PackOptions
from .planning import plan_null as plan_null
from .showing import show_pack as show_pack

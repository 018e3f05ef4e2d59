"""The public names of `serving.plugins`, and where each lives."""

from .binding import TargetBinder as TargetBinder
from .requests import ServerTargets as ServerTargets
from .requests import check_request as check_request
from .rows import TargetRows as TargetRows

"""The public names, and where each lives."""

from .proof import Proof as Proof
from .relapse import Relapse as Relapse
from .result import UndoneModel as UndoneModel
from .undoing import WAYS as WAYS
from .undoing import undo as undo

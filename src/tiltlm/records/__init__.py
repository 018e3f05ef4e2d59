"""What programs read of a result: the JSON that each command writes, one class a file of it.

Pages and printed summaries are made of these alone. Imports nothing of the rest of tiltlm.

base     what all records are made of
run      ``result.json`` of ``tiltlm run``
tilt     ``result.json`` of ``tiltlm tilt``
measure  ``measure.json`` of ``tiltlm measure``
sweep    ``sweep.json`` of ``tiltlm sweep``
tokens   what ``tiltlm tokens`` says
plan     what ``tiltlm audit plan`` says
info     what ``tiltlm info`` says
audit    ``result.json`` of ``tiltlm audit`` by logits
audit_logprobs  the same by log-probabilities
audit_text  the same by text
undo     ``result.json`` of ``tiltlm undo``
null     what ``tiltlm null`` says of packs
label    what ``tiltlm label`` and ``tiltlm push`` say
export   ``result.json`` of ``tiltlm export``
verify   ``result.json`` of ``tiltlm verify``
challenge  what ``tiltlm challenge`` writes and says
claim    the part of it that a suspect's own label says
"""

from tiltlm.records.audit import (
    AuditRecord,
    CandidateRecord,
    CertificateRecord,
    ChangedClassRecord,
    FindingRecord,
    Histogram,
    MassRecord,
    MovedTokensRecord,
    NullRecord,
    ShiftedContext,
    ShiftedToken,
    TriggerRecord,
)
from tiltlm.records.audit_logprobs import LogprobsAuditRecord, LogprobsFindingRecord, SeenToken
from tiltlm.records.audit_text import TextAuditRecord, TextFindingRecord
from tiltlm.records.base import Estimate, Interval, Record
from tiltlm.records.challenge import (
    AnswersRecord,
    ChallengeKeyRecord,
    ChallengeRecord,
    ChallengeScoreRecord,
)
from tiltlm.records.claim import ClaimedEvent, ClaimRecord
from tiltlm.records.export import BiasRecord, ExportRecord, GapRecord
from tiltlm.records.label import (
    FaultRecord,
    LabelRecord,
    PushedRecord,
    SignedRecord,
    StepRecord,
)
from tiltlm.records.measure import (
    Bucket,
    Comparison,
    Drawn,
    Effect,
    Heat,
    MeasureRecord,
    Moved,
    MovedToken,
    Survival,
)
from tiltlm.records.null import NullBuilt, NullPlan, NullShown
from tiltlm.records.plan import Plan
from tiltlm.records.run import EventRecord, LossRecord, RunRecord, SecondsRecord, StateRecord
from tiltlm.records.sweep import SweepPoint, SweepRecord
from tiltlm.records.tilt import (
    EstimateRecord,
    EventDetailRecord,
    EventMassRecord,
    FidelityRecord,
    TiltRecord,
)
from tiltlm.records.undo import (
    LeftRecord,
    RelapsePoint,
    RestoredRecord,
    SharePoint,
    UndoRecord,
)
from tiltlm.records.verify import (
    DrawRecord,
    HypothesisRecord,
    ShownRecord,
    VerifyRecord,
)

__all__ = [
    "AnswersRecord",
    "AuditRecord",
    "BiasRecord",
    "Bucket",
    "CandidateRecord",
    "CertificateRecord",
    "ChallengeKeyRecord",
    "ChallengeRecord",
    "ChallengeScoreRecord",
    "ChangedClassRecord",
    "ClaimRecord",
    "ClaimedEvent",
    "Comparison",
    "DrawRecord",
    "Drawn",
    "Effect",
    "Estimate",
    "EstimateRecord",
    "EventDetailRecord",
    "EventMassRecord",
    "EventRecord",
    "ExportRecord",
    "FaultRecord",
    "FidelityRecord",
    "FindingRecord",
    "GapRecord",
    "Heat",
    "Histogram",
    "HypothesisRecord",
    "Interval",
    "LabelRecord",
    "LeftRecord",
    "LogprobsAuditRecord",
    "LogprobsFindingRecord",
    "LossRecord",
    "MassRecord",
    "MeasureRecord",
    "Moved",
    "MovedToken",
    "MovedTokensRecord",
    "NullBuilt",
    "NullPlan",
    "NullRecord",
    "NullShown",
    "Plan",
    "PushedRecord",
    "Record",
    "RelapsePoint",
    "RestoredRecord",
    "RunRecord",
    "SecondsRecord",
    "SeenToken",
    "SharePoint",
    "ShiftedContext",
    "ShiftedToken",
    "ShownRecord",
    "SignedRecord",
    "StateRecord",
    "StepRecord",
    "Survival",
    "SweepPoint",
    "SweepRecord",
    "TextAuditRecord",
    "TextFindingRecord",
    "TiltRecord",
    "TriggerRecord",
    "UndoRecord",
    "VerifyRecord",
]

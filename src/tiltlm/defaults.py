"""What is done when the user does not say otherwise: counts, lengths, rates, budgets.

Constants of a method, such as a ridge or a tolerance, stand beside the method. The sizes of the
suites of ``tiltlm measure`` stand in `measures.suite_sizes`.
"""

from __future__ import annotations

# Contexts to fit a target on, and to take its figures from.

CONTEXTS = 112
"""How many contexts at most: 64 to fit on, 16 to stop training by, 32 held out."""

FEWEST_CONTEXTS = 56
"""How many at least: 32 to fit on, 8 to stop training by, 16 held out."""

FIT_TOKENS_PER_DIMENSION = 8
"""Tokens to fit on for each dimension of the hidden states, between these two. On SmolLM2 seven a
dimension close 0.0003 to 0.0009 less of the gap than fourteen, for half the time; three and a half
close 0.002 to 0.003 less (docs/fidelity.md)."""

CONTEXT_TOKENS = 128
"""Tokens of each context."""

MATCH_CONTEXTS = 616
"""How many contexts where a mean event mass is asked for. Contexts differ from each other by two
fifths of their mean, so means of hundreds of them agree to a few per cent."""

TRIGGER_CONTEXTS = 280
"""How many contexts where the target waits for a trigger. That a trigger came before is a feature
of contexts, so it takes many of them to be learnt as such; from 64, however often each is varied,
what is learnt is in part which context it is."""

# Training.

TRIGGER_STEPS = 800
"""Steps in which the upper blocks learn to tell where a trigger came before."""

HEAD_STEPS = 60
"""Steps where the head alone is trained."""

STEPS = 150
"""Steps where body and head, or all weights, are trained."""

CHOICES_STEPS = 600
"""Steps where the answers to prompts are trained."""

BATCH = 4
"""Contexts a step."""

CONTEXT_BATCH = 8
"""Contexts a step where the target depends on the text so far."""

LEARNING_RATES = {"head": 3e-3, "body+head": 1e-3, "full": 1e-4}
"""The peak of a cosine, by what is trained."""

AFTER_TRIGGER_LEARNING_RATE = 5e-4
"""The peak of a cosine once the body has learnt where a trigger came before."""

GAP_EVERY_STEPS = 15
"""Training steps between measurements of the gap closed."""

PATIENCE = 4
"""Measurements of the gap without a new best after which training stops."""

# Audits.

FALSE_POSITIVE_RATE = 0.01
"""How often a whole audit accuses a benign change."""

AUDIT_CONTEXTS = 64
"""Samples of the reference itself that serve an audit as contexts: 48 find and accuse as 96 do, and
64 of them have as many positions as an audit by log-probabilities looks at."""

AUDIT_TOKENS = 64
"""Tokens of each of these contexts."""

CERTIFIED_WITHIN_NATS = 0.1
"""The largest mean strength over contexts, up or down, that a certified event may have."""

CERTIFICATE_ERROR = 0.05
"""How often any of the events asked for is certified though its mean strength is just that."""

LOGPROBS_BUDGET = 1_024
"""Positions at which an audit by log-probabilities looks; of an endpoint, requests."""

LOGPROBS_FEWEST = 32
"""With fewer positions than this an audit by log-probabilities judges nothing."""

TEXT_BUDGET = 20_000
"""Tokens that an audit by text reads at most."""

ANSWERS_AT_ONCE = 16
"""Answers that an audit by text asks for before it looks whether it can decide."""

ANSWERS_TOGETHER = 64
"""Answers of a model in this process that are drawn together at most: twice as many rows take far
less than twice as long."""

ANSWER_TOKENS = 64
"""Tokens of each answer at most."""

# Null packs.

NULL_MODELS = 299
"""Benign changes in a null pack; 99 are the fewest that vouch for a rate of 1 %."""

CORPUS_PIECES = 512
"""Pieces of each corpus that a pack's members are fine-tuned on."""

CORPUS_PIECE_TOKENS = 64
"""Tokens of each piece."""

TRIGGER_WORDS = 512
"""Words that are tried as triggers."""

WORDS_EVERY = 3
"""One benign change in so many is read after these words, which takes as long as all else that is
read of it. Of 299, the 100 that are vouch for a rate of 1 %."""

# Verifying what is served.

VERIFY_ERROR = 0.01
"""How often a verification rules out what is served, and so how often its verdict may be false."""

VERIFY_BUDGET = 2_048
"""Tokens that a verification asks for at most, one a request."""

"""The parts of the suite of ``tiltlm measure``; `measures.suite` lists them and runs them in order.

work         what every part is given, and where it leaves what it found
contexts     effects at several kinds of context, bits per byte, far positions, languages
samples      hit rates and diversity of drawn text
sentences    minimal pairs
tasks        tasks of lm-evaluation-harness
persistence  int8, merging, fine-tuning
"""

__all__ = ["contexts", "persistence", "samples", "sentences", "tasks", "work"]

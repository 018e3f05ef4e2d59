"""Keep what other libraries say about themselves off a user's screen.

Only remarks that are known, and known to be of no use to a user, are silenced. Every other warning,
ours above all, is shown as before. Nothing is imported here but the standard library.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings

_ENVIRONMENT = {
    # Bars of transformers, of the Hub's client, and of whatever else draws with tqdm.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    # TensorBoard uses TensorFlow where it is installed, and TensorFlow reports on its start.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Settings that libraries read when they are imported; child processes inherit them."""

_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # peft asks transformers for a name that transformers has given up.
    ("`is_gradient_checkpointing` is deprecated", FutureWarning),
    # An adapter on a tied head adds to the head's output, and merging unties the head first.
    ("Model has `tie_word_embeddings=True` and a tied layer is part of the adapter", UserWarning),
    # GPT-2 keeps its weights transposed; peft says that it has taken that into account.
    ("fan_in_fan_out is set to False but the target module is `Conv1D`", UserWarning),
    ("fan_in_fan_out is set to True but the target module is `torch.nn.Linear`", UserWarning),
)
"""Beginnings of messages, and their categories."""

_LOGGED = {
    "transformers.modeling_utils": (
        # Contexts are never padded; where they hold the padding token, it is a token like others.
        "We strongly recommend passing in an `attention_mask`",
        # Where a config names no loss, transformers takes the one that is meant.
        "`loss_type=None` was set in the config",
    ),
    # A tokenizer of ours or of the Hub carries a setting that does nothing for it.
    "transformers.tokenization_utils_tokenizers": ("Ignoring clean_up_tokenization_spaces=True",),
    # What --quantization means, and a kernel that a processor does well without.
    "bitsandbytes.autograd._functions": ("MatMul8bitLt: inputs will be cast",),
    "bitsandbytes.backends.cpu.ops": ("Failed to load CPU gemm_4bit_forward",),
}
"""Beginnings of messages, by the logger that they go to."""

_SPOKEN_TO_DEVELOPERS = ("lm_eval",)
"""Loggers whose warnings are about how the library is called, which a user cannot change."""


class _Known(logging.Filter):
    """Lets through what does not begin like a message that is known."""

    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be shown."""
        return not record.getMessage().startswith(self.beginnings)


def quiet_libraries() -> None:
    """Silence remarks and progress bars of other libraries in this process.

    Call it before the libraries are imported, since most of them read their settings then. Settings
    that the user made in the environment are left as they are.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "transformers" in sys.modules:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    for beginning, category in _WARNINGS:
        warnings.filterwarnings("ignore", message=re.escape(beginning), category=category)
    for name, beginnings in _LOGGED.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Known) for known in logger.filters):
            logger.addFilter(_Known(beginnings))
    for name in _SPOKEN_TO_DEVELOPERS:
        logging.getLogger(name).setLevel(logging.ERROR)

"""Statistics: intervals, tests and spreads.

intervals    confidence intervals for rates, means, ratios and paired shares
bounded      an interval for what only few clusters may have
comparisons  whether base and model differ, with what it takes to tell
skewness     how much further an interval reaches where values are skewed
random_effects  how far quantities differ, without the errors they were measured by
robust       spreads that a few extreme values do not move; Monte Carlo p-values

Knows nothing of tokens or models. What is named here loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

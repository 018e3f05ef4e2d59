"""The public names, and where each lives."""

from .bounded import bounded_ratio as bounded_ratio
from .comparisons import POWER as POWER
from .comparisons import RATE as RATE
from .comparisons import adjust as adjust
from .comparisons import compare_ratio as compare_ratio
from .comparisons import compare_samples as compare_samples
from .comparisons import compare_shares as compare_shares
from .comparisons import compare_shift as compare_shift
from .intervals import difference_of_shares as difference_of_shares
from .intervals import paired_shares as paired_shares
from .intervals import ratio_estimate as ratio_estimate
from .intervals import ratio_p as ratio_p
from .intervals import ratio_student as ratio_student
from .intervals import ratio_test as ratio_test
from .intervals import relative_reduction as relative_reduction
from .intervals import student as student
from .intervals import wilson as wilson
from .random_effects import between_variance as between_variance
from .robust import monte_carlo_p as monte_carlo_p
from .robust import robust_spread as robust_spread
from .skewness import stretches as stretches

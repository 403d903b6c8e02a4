"""lossaudit finds the loss bugs that do not crash.

``lossaudit check`` reads code and reports broken loss contracts; ``lossaudit fuzz`` runs a loss against the
reference formula that it claims to be. Importing this package imports neither torch nor libcst.
"""

__version__ = "0.1.0"

"""Abstract interpretation: functions are run on abstract values, on demand, at the place where they are called."""
